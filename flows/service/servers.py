"""The project's own servers, on this machine alone: Prefect's, where runs are followed, and MLflow's pages."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from flows.paths import state_dir, tracking_uri
from pipeline.errors import UserError
from pipeline.process import bound_to_parent

HOST = "127.0.0.1"
DEFAULT_PORTS = {"prefect": 4200, "mlflow": 5000}
HEALTH_PATHS = {"prefect": "/api/health", "mlflow": "/health"}
START_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """A server that was started here: its process, when that began (numbers of processes come again), its port."""

    name: str
    pid: int
    began: float
    port: int

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self.port}"

    def runs(self) -> bool:
        """Whether its process is there."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.began) < 1
        except psutil.NoSuchProcess:
            return False

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(self.address + HEALTH_PATHS[self.name], timeout=2) as reply:  # noqa: S310 -- always http on loopback
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def running_servers(root: Path) -> list[Server]:
    """List the servers of this project whose processes are there."""
    record = state_dir(root) / "servers.json"
    if not record.exists():
        return []
    servers = [Server(**entry) for entry in json.loads(record.read_text(encoding="utf-8"))]
    return [server for server in servers if server.runs()]


def free_port(first: int) -> int:
    """Find a free port, the usual one if it is."""
    for port in range(first, first + 50):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) != 0:
                return port
    raise UserError(f"ports {first} to {first + 49}", "all taken", do="stop what uses one of them")


def server_command(name: str, root: Path, port: int) -> list[str]:
    """Give the command of a server, bound to loopback."""
    if name == "prefect":
        return [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    hosts = f"localhost:{port},{HOST}:{port}"  # with their port: the default also lets in names that resolve here
    store = [
        "--backend-store-uri",
        tracking_uri(root),
        "--default-artifact-root",
        (state_dir(root) / "mlartifacts").as_uri(),
    ]
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
        "--allowed-hosts",
        hosts,
        *store,
    ]


def start_server(root: Path, name: str) -> Server:
    """Start a server in the background; what it prints goes to a log in the private folder."""
    port = free_port(DEFAULT_PORTS[name])
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes that nothing here needs
    if name == "prefect":
        own["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] = f"http://{HOST}:{port}"
        own["PREFECT_UI_API_URL"] = f"http://{HOST}:{port}/api"
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"} | own
    with (state_dir(root) / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            server_command(name, root, port),
            cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    return Server(name, process.pid, psutil.Process(process.pid).create_time(), port)


def start_servers(root: Path) -> list[Server]:
    """Start the servers that are not running, and wait until all answer.

    Raises:
        UserError: If one ends or does not answer in time; its log says why.
    """
    servers = running_servers(root)
    servers += [start_server(root, name) for name in DEFAULT_PORTS if name not in {server.name for server in servers}]
    (state_dir(root) / "servers.json").write_text(json.dumps([asdict(server) for server in servers]), encoding="utf-8")
    for server in servers:
        wait_until_healthy(server, state_dir(root) / f"{server.name}.log")
    return servers


def wait_until_healthy(server: Server, log: Path) -> None:
    """Wait until a server answers.

    Raises:
        UserError: If it ends or does not answer in time; its log says why.
    """
    deadline = time.monotonic() + START_SECONDS
    while not (server.runs() and server.answers()):  # another's server may answer there, too
        if not server.runs() or time.monotonic() > deadline:
            raise UserError(f"{server.name}'s server", "does not answer", do=f"read {log}, then try again")
        time.sleep(0.2)


def stop_servers(root: Path) -> list[Server]:
    """Stop the servers with all their processes."""
    servers = running_servers(root)
    for server in servers:
        tree = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        os.killpg(server.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(tree, timeout=10)
        for process in alive:
            process.kill()
    (state_dir(root) / "servers.json").unlink(missing_ok=True)
    return servers


@contextmanager
def prefect_server(root: Path) -> Iterator[Callable[[], None]]:
    """Have a Prefect server for one run: the one of the environment, the project's if it is up, else a temporary one.

    Prefect's own temporary server outlives a run that is killed, and its start is waited for; this one dies with the
    run, and starts while other things are done.

    Yields:
        A function that returns when the server answers.
    """
    if "PREFECT_API_URL" in os.environ:
        yield lambda: None
        return
    up_already = [server for server in running_servers(root) if server.name == "prefect" and server.answers()]
    server, process = (up_already[0], None) if up_already else temporary_prefect(root)
    os.environ["PREFECT_API_URL"] = f"{server.address}/api"
    try:
        yield lambda: wait_until_healthy(server, state_dir(root) / "prefect-run.log")
    finally:
        if process is not None:
            process.terminate()
            process.wait()


def temporary_prefect(root: Path) -> tuple[Server, "subprocess.Popen[bytes]"]:
    """Start a Prefect server without pages that dies with this process.

    It is handed a socket that listens already, so that no other server can come in between.
    """
    factory = ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on", "--log-level", "error"]
    own = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    with socket.create_server((HOST, 0)) as listening, (state_dir(root) / "prefect-run.log").open("wb") as log:
        process = subprocess.Popen(
            bound_to_parent([sys.executable, "-m", "uvicorn", "--fd", str(listening.fileno()), *factory]),
            cwd=root, env=os.environ | own, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # Ctrl-C is for the run, which still has something to tell its server
            pass_fds=[listening.fileno()],
        )  # fmt: skip
        port = listening.getsockname()[1]
    return Server("prefect", process.pid, psutil.Process(process.pid).create_time(), port), process
