"""Tells a webhook what became of a run; one that does not answer is said and stops nothing."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from pipeline.errors import UserError

WEBHOOK_VARIABLE = "TUNESMITH_WEBHOOK"
WEBHOOK_TIMEOUT_SECONDS = 10
RETRY_PAUSES = (1.0, 5.0)
"""Seconds before the second and the third try."""


def webhook_address() -> str | None:
    """The address of the environment; None if there is none.

    Raises:
        UserError: If it is no address of http or https. It is not shown: who knows it can post.
    """
    address = os.environ.get(WEBHOOK_VARIABLE) or None
    if address is not None and (urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname):
        raise UserError(
            WEBHOOK_VARIABLE, "is no address that can be posted to", expected="https://...", do="mend or unset it"
        )
    return address


def notify(text: str, say: Callable[[str], None], pauses: Sequence[float] = RETRY_PAUSES) -> None:
    """Post a text to the webhook, if there is one: JSON with a field `text`, as Slack and others take it.

    Args:
        text: What to tell.
        say: Takes a line if it could not be told.
        pauses: Seconds before each further try; only what a later try may mend is tried again.
    """
    address = webhook_address()
    if address is None:
        return
    for pause in (*pauses, None):
        refused, again = post_once(address, text)
        if not refused:
            return
        if not again or pause is None:
            break
        time.sleep(pause)
    say(f"{WEBHOOK_VARIABLE}: {urlsplit(address).hostname} was not told: {refused}")


def post_once(address: str, text: str) -> tuple[str, bool]:
    """Post once: why it was not taken, if so, and whether another try may help."""
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310 -- see webhook
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_SECONDS):  # noqa: S310 -- see webhook
            return "", False
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP {error.code}", error.code == 429 or error.code >= 500
    except OSError as error:  # URLError is one, and so is a connection that ends or says nothing
        return str(getattr(error, "reason", error)), True
