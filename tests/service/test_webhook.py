"""Laws of telling a webhook: what is posted, what is tried again, and that nothing is stopped by it."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.service.webhook import WEBHOOK_VARIABLE, notify
from pipeline.errors import UserError


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


def told(text: str) -> list[str]:
    """What is said when this is told, without a pause between two tries."""
    said: list[str] = []
    notify(text, said.append, (0, 0))
    return said


def test_a_text_is_posted_as_slack_takes_it(posted: tuple[list[tuple[str, bytes]], list[int]]) -> None:
    """JSON with one field; nothing is said."""
    assert told('support: "promoted" → v2') == []
    ((kind, body),) = posted[0]
    assert (kind, json.loads(body)) == ("application/json", {"text": 'support: "promoted" → v2'})


@pytest.mark.parametrize(
    ("answers", "tries", "said"),
    [
        ([503], 2, []),
        ([429, 500], 3, []),
        ([503] * 3, 3, ["TUNESMITH_WEBHOOK: 127.0.0.1 was not told: HTTP 503"]),
        ([404], 1, ["TUNESMITH_WEBHOOK: 127.0.0.1 was not told: HTTP 404"]),
    ],
)
def test_only_what_may_pass_is_tried_again(
    posted: tuple[list[tuple[str, bytes]], list[int]], answers: list[int], tries: int, said: list[str]
) -> None:
    """A server in trouble up to three times, a refusal once; what stays so is said, without the secret address."""
    posted[1].extend(answers)
    assert told("a") == said
    assert len(posted[0]) == tries


def test_a_webhook_that_is_not_there_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said in a line."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    monkeypatch.setenv(WEBHOOK_VARIABLE, f"http://127.0.0.1:{port}/services/secret")
    assert told("a") == ["TUNESMITH_WEBHOOK: 127.0.0.1 was not told: [Errno 111] Connection refused"]


@pytest.mark.parametrize("address", ["hooks.slack.com/services/secret", "file:///etc/passwd", "https://"])
def test_an_address_that_cannot_be_posted_to_is_a_problem(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """It is told without the address, of which a part is secret."""
    monkeypatch.setenv(WEBHOOK_VARIABLE, address)
    with pytest.raises(UserError) as caught:
        told("a")
    assert str(caught.value) == (
        "TUNESMITH_WEBHOOK: is no address that can be posted to; expected https://...; mend or unset it"
    )


@pytest.mark.parametrize("address", [None, ""])
def test_without_a_webhook_nobody_is_told(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    """Nothing happens."""
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)
    if address is not None:
        monkeypatch.setenv(WEBHOOK_VARIABLE, address)
    assert told("a") == []
