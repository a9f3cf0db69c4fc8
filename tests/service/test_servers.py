"""Laws of the project's own servers: on loopback alone, never confused with others, stopped with all they started."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from flows.service.servers import (
    HOST,
    Server,
    free_port,
    prefect_server,
    running_servers,
    server_command,
    stop_servers,
    wait_until_healthy,
)
from pipeline.errors import UserError

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def listening() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server((HOST, 0)) as taken:
        yield taken.getsockname()[1]


@pytest.fixture
def healthy() -> Iterator[int]:
    """A port on which something answers as a healthy Prefect server does."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((HOST, 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Server, int]]:
    """A process with a child, written down as this project's Prefect server; and the child's process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    assert process.stdout
    child = int(process.stdout.readline())
    server = Server("prefect", process.pid, psutil.Process(process.pid).create_time(), 1)
    write_down(tmp_path, server)
    yield server, child
    for pid in (child, process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no Prefect server; what is set meanwhile is forgotten."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.delenv("PREFECT_API_URL")


def write_down(root: Path, *servers: Server) -> None:
    (root / ".tunesmith").mkdir(exist_ok=True)
    (root / ".tunesmith" / "servers.json").write_text(json.dumps([asdict(one) for one in servers]), encoding="utf-8")


def myself(name: str = "prefect", port: int = 1) -> Server:
    """This process, as if it were a server."""
    return Server(name, os.getpid(), psutil.Process().create_time(), port)


@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_a_server_listens_on_this_machine_alone(tmp_path: Path, name: str) -> None:
    """Its command binds loopback and the port that was chosen, and nothing in it names every address."""
    words = server_command(name, tmp_path, 4321)
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--port") + 1] == "4321"
    assert "0.0.0.0" not in " ".join(words)  # noqa: S104 -- to see that it is not there


def test_mlflow_answers_to_its_own_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts are allowed with their port, one worker serves, and the store is the project's own, named in full."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    words = server_command("mlflow", tmp_path, 4321)
    told = dict(pairwise(words))
    assert told["--allowed-hosts"] == "localhost:4321,127.0.0.1:4321"
    assert told["--workers"] == "1"
    assert told["--backend-store-uri"] == f"sqlite:///{tmp_path}/.tunesmith/mlflow.db"
    assert told["--default-artifact-root"] == f"file://{tmp_path}/.tunesmith/mlartifacts"


def test_the_usual_port_is_taken_if_it_is_free(listening: int) -> None:
    """Otherwise the next free one above it."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        unused = probe.getsockname()[1]
    assert free_port(unused) == unused
    assert listening < free_port(listening) < listening + 50


def test_a_server_is_known_while_its_process_is_there(tmp_path: Path) -> None:
    """Without a record there is none; one whose process ended is forgotten, and so is one whose number came again."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    alive = myself()
    assert running_servers(tmp_path) == []
    write_down(tmp_path, alive, replace(alive, pid=ended.pid), replace(alive, began=alive.began - 60))
    assert running_servers(tmp_path) == [alive]


def test_a_server_answers_when_its_health_page_does(healthy: int, listening: int) -> None:
    """Not on another server's page, nor where nobody or somebody mute listens."""
    assert myself("prefect", healthy).answers()
    assert not myself("mlflow", healthy).answers()
    assert not myself("prefect", free_port(listening)).answers()
    assert myself("prefect", 4200).address == "http://127.0.0.1:4200"


def test_stopping_ends_a_server_with_all_that_it_started(tmp_path: Path, running: tuple[Server, int]) -> None:
    """It and its children are gone afterwards, it is named, and it is not written down any more."""
    server, child = running
    assert stop_servers(tmp_path) == [server]
    assert not [pid for pid in (server.pid, child) if psutil.pid_exists(pid) and not zombie(pid)]
    assert not (tmp_path / ".tunesmith" / "servers.json").exists()
    assert stop_servers(tmp_path) == []


def zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_stopping_leaves_alone_what_only_has_the_number(tmp_path: Path, running: tuple[Server, int]) -> None:
    """A process that got the number of an old server is not ours to stop."""
    server, _ = running
    write_down(tmp_path, replace(server, began=server.began - 60))
    assert stop_servers(tmp_path) == []
    assert server.runs()


def test_a_server_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    """The user is sent to its log at once."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(UserError) as told:
        wait_until_healthy(replace(myself(), pid=ended.pid), tmp_path / "prefect.log")
    assert str(told.value) == f"prefect's server: does not answer; read {tmp_path}/prefect.log, then try again"


@pytest.mark.usefixtures("unnamed")
def test_a_run_uses_the_projects_server_if_it_answers(tmp_path: Path, healthy: int) -> None:
    """Nothing is started then; Prefect is told where it is."""
    write_down(tmp_path, myself("mlflow", healthy), myself("prefect", healthy))
    with prefect_server(tmp_path) as ready:
        ready()
        assert os.environ["PREFECT_API_URL"] == f"http://127.0.0.1:{healthy}/api"
    assert not (tmp_path / ".tunesmith" / "prefect-run.log").exists()


def test_a_run_uses_the_server_that_the_environment_names(
    tmp_path: Path, healthy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes before the project's own."""
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    write_down(tmp_path, myself("prefect", healthy))
    with prefect_server(tmp_path) as ready:
        ready()
        assert os.environ["PREFECT_API_URL"] == "http://prefect.example/api"
