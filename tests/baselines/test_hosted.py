"""Laws of the baseline behind an endpoint, against a server here that speaks the protocol."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.baselines import stage as baselines
from pipeline.baselines.baseline import BaselineTask, PromptMessages
from pipeline.baselines.hosted import API_KEY_VARIABLE, HostedModel
from pipeline.errors import UserError
from pipeline.evaluate import stage as evaluate
from pipeline.files import read_json
from pipeline.pairs import Message, read_pairs
from pipeline.params import HostedEndpoint
from tests.support.tiny_params import finished, judged, tiny_params

LABELS = BaselineTask("labels", ["blue", "Green"], "accuracy", ())
TEXT = BaselineTask("text", [], "chrf", ())
Answered = tuple[int, str]


class Server(ThreadingHTTPServer):
    """Answers each request by a function of its number and its body, and keeps what it was sent."""

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answered]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []
        self.heads: list[dict[str, str]] = []
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """One request of the protocol."""

    server: Server

    def do_POST(self) -> None:
        """Keep what was sent, and answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.bodies)
            self.server.bodies.append(body)
            self.server.heads.append(
                {"path": self.path, **{name.title(): value for name, value in self.headers.items()}}
            )
        status, text = self.server.answer(number, body)
        if status:  # else the connection is closed without a word
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def completed(text: str | None, usage: dict[str, int] | None = None) -> Answered:
    """An answer as the protocol has it."""
    told = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    return 200, json.dumps(told | ({"usage": usage} if usage else {}))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start servers, and stop them afterwards."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    started: list[Server] = []

    def start(answer: Callable[[int, dict[str, Any]], Answered]) -> Server:
        server = Server(answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def hosted(server: Server, wanted: BaselineTask = TEXT, system: str = "Be brief.", tries: int = 3) -> HostedModel:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    told = HostedEndpoint(url=url, model="small", parallel=3, timeout_seconds=5, tries=tries)
    return HostedModel(told, system, wanted, max_new_tokens=7)


def question(text: str, *before: Message) -> PromptMessages:
    return (*before, Message("user", text))


def test_a_question_is_sent_as_the_protocol_has_it(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model, turns, no chance, the longest answer; the key of the environment, and no key where there is none."""
    server = serve(lambda *_: completed("yes", {"prompt_tokens": 11, "completion_tokens": 2}))
    (given,) = hosted(server).answer([question("Is it?")])
    assert (given.text, given.tokens_in, given.tokens_out, given.free, given.held) == ("yes", 11, 2, None, None)
    assert server.bodies == [
        {
            "model": "small", "temperature": 0, "max_tokens": 7,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it?"}],
        }
    ]  # fmt: skip
    assert server.heads[0]["path"] == "/v1/chat/completions"
    assert "Authorization" not in server.heads[0]
    monkeypatch.setenv(API_KEY_VARIABLE, "secret")
    hosted(server, system="").answer([question("Is it?", Message("system", "Mine."))])
    assert server.heads[1]["Authorization"] == "Bearer secret"
    assert server.bodies[1]["messages"][0] == {"role": "system", "content": "Mine."}


def test_answers_come_in_the_order_of_the_questions(serve: Callable[..., Server]) -> None:
    """However many are asked at once."""
    server = serve(lambda _, body: completed(body["messages"][-1]["content"].upper()))
    answers = hosted(server).answer([question(f"q{number}") for number in range(20)])
    assert [given.text for given in answers] == [f"Q{number}" for number in range(20)]
    assert {given.tokens_in for given in answers} == {None}


def test_labels_are_told_and_what_is_none_stays_as_it_is(serve: Callable[..., Server]) -> None:
    """Signs and case around a label do not count against it, yet only the bare label counts as said by itself."""
    said = ["blue", " **green.** ", "perhaps blue", None]
    server = serve(lambda number, _: completed(said[number]))
    baseline = hosted(server, LABELS)
    answers = [baseline.answer([question("?")])[0] for _ in said]
    assert [(given.text, given.free) for given in answers] == [
        ("blue", True), ("Green", False), ("perhaps blue", False), ("", False),
    ]  # fmt: skip
    system = server.bodies[0]["messages"][0]["content"]
    assert system == "Be brief.\n\nAnswer with one of these labels and nothing else: blue, Green"


@pytest.mark.parametrize("fault", [(0, ""), (500, "oops"), (503, "busy"), (408, "late"), (429, "slow down")])
def test_a_network_fault_is_tried_again(serve: Callable[..., Server], fault: Answered) -> None:
    """A connection that breaks, or a server that is busy, is asked again."""
    server = serve(lambda number, _: fault if number < 2 else completed("at last"))
    assert [given.text for given in hosted(server).answer([question("?")])] == ["at last"]
    assert len(server.bodies) == 3


def test_faults_without_end_end_the_run(serve: Callable[..., Server]) -> None:
    """After as many tries as the params say, in one line."""
    server = serve(lambda *_: (503, "busy"))
    with pytest.raises(UserError) as caught:
        hosted(server, tries=2).answer([question("?")])
    assert len(server.bodies) == 2
    assert str(caught.value) == (
        f"http://127.0.0.1:{server.server_port}/v1: could not be reached in 2 tries; got HTTP 503; check "
        "baselines.hosted and TUNESMITH_ENDPOINT_KEY, or take hosted out of baselines.enabled"
    )


@pytest.mark.parametrize(
    ("answered", "what"),
    [
        ((401, "who are you?"), "refused the request; got HTTP 401: who are you?"),
        ((200, "<html>"), "did not answer with JSON; got <html>"),
        ((200, "{}"), "did not answer as the protocol says; got {}"),
        ((200, "[]"), "did not answer as the protocol says; got []"),
        ((200, '{"choices": []}'), "did not answer as the protocol says; got {'choices': []}"),
    ],
)
def test_what_trying_again_cannot_mend_is_said_at_once(
    serve: Callable[..., Server], answered: Answered, what: str
) -> None:
    """A refusal, or what is not the protocol, is asked once."""
    server = serve(lambda *_: answered)
    with pytest.raises(UserError) as caught:
        hosted(server).answer([question("?")])
    assert len(server.bodies) == 1
    assert f"/v1: {what}; check baselines.hosted" in str(caught.value)


def test_it_is_an_arm_like_the_others(serve: Callable[..., Server], base: Path, tmp_path: Path) -> None:
    """The stage asks it the test rows, and a few once more to time it; what is no label is wrong and not free."""
    server = serve(lambda _, body: completed("blue" if "sky" in body["messages"][-1]["content"] else "who knows"))
    told = {"url": f"http://127.0.0.1:{server.server_port}/v1", "model": "small", "parallel": 2}
    params = tiny_params(
        base,
        **{"baselines.enabled": ["hosted"], "baselines.hosted": {**told, "timeout_seconds": 5, "tries": 2}},
    )
    data = Path(shutil.copytree(finished(base)[1], tmp_path / "data"))
    baselines.run(params.model, params.prompt, params.baselines, judged(params), data)
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data, timed=1)
    test = read_pairs(data / "validate" / "test.parquet")
    sky = [pair for pair in test if "sky" in pair.prompt]
    assert len(server.bodies) == len(test) + params.baselines.latency_rows
    assert read_json(data / "baselines" / "report.json")["baselines"]["hosted"]["reproducible"] is False
    arm = read_json(data / "evaluate" / "metrics.json")["arms"]["hosted"]
    assert 0 < len(sky) < len(test)
    assert arm["accuracy"]["value"] == arm["free_label"]["value"] == pytest.approx(len(sky) / len(test))


def test_the_report_says_that_nobody_can_repeat_it(serve: Callable[..., Server]) -> None:
    """Where, which model, which system message; the key is nowhere in it."""
    server = serve(lambda *_: completed("yes"))
    report = hosted(server).fit([], [])
    assert report["reproducible"] is False
    assert (report["model"], report["system"]) == ("small", "Be brief.")
