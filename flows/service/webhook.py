"""Tells a person what became of a run, by Apprise: Slack, Teams, mail, ...; a message that fails stops nothing."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from pipeline.errors import UserError

if TYPE_CHECKING:
    from apprise.plugins import NotifyBase

WEBHOOK_VARIABLE = "TUNESMITH_WEBHOOK"
TIMEOUT_SECONDS = 10
RETRIES = 2
PAUSE_SECONDS = 5.0
"""Between two tries."""
SLACK_FIELDS = {":message": "text", ":version": "", ":title": "", ":type": "", ":attachments": ""}
"""What makes Apprise's JSON `{"text": ...}`, which Slack, Mattermost and Rocket.Chat take."""


def load_service() -> "NotifyBase | None":
    """Load the service that the environment's address names; None without one.

    Raises:
        UserError: If Apprise does not know such an address. It is not shown: who knows it can post.
    """
    address = os.environ.get(WEBHOOK_VARIABLE)
    if not address:
        return None
    from apprise import Apprise  # noqa: PLC0415 -- a fifth of a second, for those alone who are notified

    with warnings_of_apprise():  # they may show the address
        service = Apprise.instantiate(address) or Apprise.instantiate(slack_compatible(address))
    if service is None:
        raise UserError(
            WEBHOOK_VARIABLE,
            "is no address that Apprise knows",
            expected="https://..., slack://..., msteams://..., mailto://... (appriseit.com lists them)",
            do="mend or unset it",
        )
    return service


def notify(text: str, say: Callable[[str], None]) -> None:
    """Send a text to the address of the environment, if there is one.

    Args:
        text: What to tell.
        say: Takes a line if it could not be sent.
    """
    service = load_service()
    if service is None:
        return
    from apprise import Apprise  # noqa: PLC0415 -- as above

    service.retry, service.wait = RETRIES, PAUSE_SECONDS
    service.socket_connect_timeout = service.socket_read_timeout = TIMEOUT_SECONDS
    with warnings_of_apprise() as warnings:
        sent = Apprise(servers=service).notify(body=text)
    if not sent:
        reason = hide_secrets(" ".join(warnings[-1].split()) if warnings else "no reason given")
        say(f"{WEBHOOK_VARIABLE}: {service.service_name} was not notified: {reason}")


def slack_compatible(address: str) -> str:
    """Write an https address that is no service's own as one of Apprise's JSON, as Slack takes it."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    query = {f"-{name}": value for name, value in parse_qsl(parts.query, keep_blank_values=True)} | SLACK_FIELDS
    return f"json{'s' * (parts.scheme == 'https')}://{parts.netloc}{parts.path}?{urlencode(query)}"


def hide_secrets(text: str) -> str:
    """Take out of a text whatever stands in the address: its host can be a token too."""
    address = os.environ[WEBHOOK_VARIABLE].partition("://")[2]
    pieces = {piece for form in (address, unquote(address)) for piece in re.split(r"[/?&=:@#\s]+", form)}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) > 3:
            text = text.replace(piece, "***")
    return text


@contextmanager
def warnings_of_apprise() -> Iterator[list[str]]:
    """Collect what Apprise logs, which nothing else shows meanwhile: it may hold the address."""
    log, lines = logging.getLogger("apprise"), list[str]()
    handler = Collect(lines)
    was = log.propagate
    log.propagate = False
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        log.propagate = was


class Collect(logging.Handler):
    """Keeps the messages of warnings and errors.

    Args:
        lines: Where they go.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self._lines.append(record.getMessage())
