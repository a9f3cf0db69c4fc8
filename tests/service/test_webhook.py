"""Laws of notifications: what is sent, what is tried again, that nothing is stopped by it and no secret shown."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.service import webhook
from flows.service.webhook import WEBHOOK_VARIABLE, load_service, notify
from pipeline.errors import UserError

FAILED = "TUNESMITH_WEBHOOK: JSON was not notified: Failed to send JSON POST notification"


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[tuple[str, bytes]], list[int]]]:
    """A webhook: what was posted to it, and the answers that it is to give, in turn, before it answers with 200."""
    taken: list[tuple[str, bytes]] = []
    answers: list[int] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.headers["Content-Type"], body))
            self.send_response(answers.pop(0) if answers else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv(WEBHOOK_VARIABLE, f"http://127.0.0.1:{server.server_port}/services/secret")
        yield taken, answers
        server.shutdown()
        thread.join()


def told(text: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said when this is told, without a pause between two tries."""
    said: list[str] = []
    monkeypatch.setattr(webhook, "PAUSE_SECONDS", 0.0)
    notify(text, said.append)
    return said


def test_a_text_is_posted_as_slack_takes_it(
    posted: tuple[list[tuple[str, bytes]], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON with one field; nothing is said."""
    assert told('support: "promoted" → v2', monkeypatch) == []
    ((kind, body),) = posted[0]
    assert (kind, json.loads(body)) == ("application/json", {"text": 'support: "promoted" → v2'})


@pytest.mark.parametrize(
    ("answers", "tries", "said"),
    [
        ([503], 2, []),
        ([429, 500], 3, []),
        ([503] * 3, 3, [f"{FAILED}: Servers are overloaded., error=503."]),
    ],
)
def test_a_failure_is_tried_again_and_then_said_in_one_line(
    posted: tuple[list[tuple[str, bytes]], list[int]],
    answers: list[int],
    tries: int,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Up to three times; what stays so is said, without the secret address, and nothing is raised."""
    posted[1].extend(answers)
    assert told("a", monkeypatch) == said
    assert len(posted[0]) == tries


def test_a_service_that_is_not_there_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """One line without any part of the address, and nothing beside it: not on the screen, not in a log."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}/services/secret", f"json://user:secret@127.0.0.1:{port}/secret"):
        monkeypatch.setenv(WEBHOOK_VARIABLE, address)
        assert told("a", monkeypatch) == [
            "TUNESMITH_WEBHOOK: JSON was not notified: A Connection error occurred sending JSON notification to ***."
        ]
    assert (*capfd.readouterr(), caplog.text) == ("", "", "")


def test_apprise_s_own_addresses_are_taken(
    posted: tuple[list[tuple[str, bytes]], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slack's https address is Slack, a scheme of Apprise is what it says, with its own fields."""
    monkeypatch.setenv(WEBHOOK_VARIABLE, os.environ[WEBHOOK_VARIABLE].replace("http://", "json://"))
    assert told("a", monkeypatch) == []
    assert json.loads(posted[0][0][1])["message"] == "a"
    monkeypatch.setenv(
        WEBHOOK_VARIABLE, "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    )
    service = load_service()
    assert service is not None
    assert service.service_name == "Slack"


def test_what_an_https_address_asks_for_is_kept() -> None:
    """Its port, path and query, as Apprise's JSON takes them."""
    assert webhook.slack_compatible("https://chat.example:8065/hooks/a?key=b%20c") == (
        "jsons://chat.example:8065/hooks/a?-key=b+c&%3Amessage=text&%3Aversion=&%3Atitle=&%3Atype=&%3Aattachments="
    )


@pytest.mark.parametrize(
    "address", ["hooks.slack.com/services/secret", "file:///etc/passwd", "https://", "slack://secret"]
)
def test_an_address_that_apprise_does_not_know_is_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    """It is told without the address, of which a part is secret; neither does a log show it."""
    monkeypatch.setenv(WEBHOOK_VARIABLE, address)
    with pytest.raises(UserError) as caught:
        told("a", monkeypatch)
    assert str(caught.value) == (
        "TUNESMITH_WEBHOOK: is no address that Apprise knows; expected https://..., slack://..., msteams://..., "
        "mailto://... (appriseit.com lists them); mend or unset it"
    )
    assert caplog.text == ""


@pytest.mark.parametrize("address", [None, ""])
def test_without_an_address_nobody_is_told(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    """Nothing happens."""
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)
    if address is not None:
        monkeypatch.setenv(WEBHOOK_VARIABLE, address)
    assert told("a", monkeypatch) == []
