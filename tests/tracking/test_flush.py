"""Laws of MLflow being away when a run ends: the run is whole without it, and MLflow knows all of it afterwards."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from flows.service.servers import HOST, free_port
from pipeline.files import read_json
from tests.support.tiny_project import NAME, Checkout, make_project

pytestmark = pytest.mark.slow  # runs of the flow, and a server of MLflow


@contextmanager
def server(place: Path, port: int) -> Iterator[None]:
    """MLflow's own server, with all that it keeps in a folder; inside, it answers. Killed, not asked to end."""
    store = ["--backend-store-uri", f"sqlite:///{place}/server.db", "--artifacts-destination", str(place / "served")]
    words = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1", *store]
    process = subprocess.Popen(
        words, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass(frozen=True)
class Ended:
    """How a run ended, what it said, and its errors."""

    code: int
    said: str
    errors: str


@dataclass(frozen=True)
class Told:
    """The tiny project, and the server that its runs tell of themselves, up only within `server`."""

    checkout: Checkout
    address: str

    @contextmanager
    def server(self) -> Iterator[MlflowClient]:
        """Let the server answer inside."""
        with server(self.checkout.root.parent, int(self.address.rpartition(":")[2])):
            yield MlflowClient(self.address, self.address)

    def cut_off(self, stage: str) -> Ended:
        """Run, and kill the server when a stage begins."""
        words = [sys.executable, "-m", "flows.cli", "run"]
        with self.server():
            process = subprocess.Popen(
                words, cwd=self.checkout.root, env=self.checkout.environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            assert process.stdout is not None
            while (line := process.stdout.readline()) and f"{stage:<10} ..." not in line:
                continue
        said, errors = process.communicate()
        return Ended(process.returncode, said, errors)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[Told]:
    made = make_project(tmp_path_factory.mktemp("told"), base)
    address = f"http://{HOST}:{free_port(5300)}"
    made.environment["MLFLOW_TRACKING_URI"] = address
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        yield Told(made, address)


def runs_of(mlflow: MlflowClient, wanted: str = "") -> list[MlflowRun]:
    return list(mlflow.search_runs([mlflow.get_experiment_by_name(NAME).experiment_id], wanted))


@pytest.fixture(scope="module")
def away(told: Told) -> tuple[Ended, Ended]:
    """A run whose server died while it trained, and the next one, while there is still none."""
    ended = told.cut_off("finetune")
    done = told.checkout.tunesmith("run")
    return ended, Ended(done.returncode, done.stdout, done.stderr)


def test_a_run_ends_well_without_the_server_that_it_began_with(told: Told, away: tuple[Ended, Ended]) -> None:
    """It promotes, and says what MLflow does not know; the next one will not begin as long as nobody can know of it."""
    ended, refused = away
    assert ended.code == 0, ended.errors
    assert f"7 of 7 stages run; MLflow does not answer at {told.address}; the next run logs it" in ended.said
    assert "promoted: it is the champion now" in ended.said
    assert refused.code == 1
    assert refused.errors.startswith(f"error: {told.address}: MLflow does not answer: ")


@pytest.mark.usefixtures("away")
def test_all_that_was_missed_is_told_once_the_server_answers(told: Told) -> None:
    """Sync tells all of the run that was begun, once: its curves, its files, its version, both aliases.

    Of a run that failed in between, the next run tells that it failed and why; it does not blame MLflow itself.
    """
    release = read_json(told.checkout.root / "data/register/release.json")
    with told.server() as mlflow:
        done = told.checkout.tunesmith("sync")
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"logged to MLflow, which did not answer when it ended, {NAME} version 1\n")
        assert told.checkout.tunesmith("sync").stdout == "MLflow agrees with the files already\n"
        assert "nothing to do" in told.checkout.tunesmith("run").stdout
        (run,), (version,) = runs_of(mlflow), mlflow.search_model_versions(f"name = '{NAME}'")
        assert (run.info.status, run.info.run_id) == ("FINISHED", version.run_id)
        assert mlflow.get_registered_model(NAME).aliases == {"champion": "1", "challenger": "1"}
        assert version.tags["git.snapshot"] == run.data.tags["git.snapshot"]
        assert version.tags["tunesmith.adapter"] == release["digests"]["adapter"]
        assert len([name for name in run.data.tags if name.startswith("stage.")]) == 7
        assert len(mlflow.get_metric_history(run.info.run_id, "train/loss")) == 10
        assert {item.path for item in mlflow.list_artifacts(run.info.run_id)} >= {"data", "evaluation", "release"}
    failed = poisoned(told)
    last = failed.errors.splitlines()[-1]
    assert (failed.code, last.partition(": ")[0]) == (1, "error")
    assert "MLflow" not in last
    with told.server() as mlflow:
        done = told.checkout.tunesmith("run")
        assert done.returncode == 0, done.stderr
        assert "logged to MLflow, which did not answer when it ended\n" in done.stdout
        found = runs_of(mlflow, "attributes.status = 'FAILED'")
        assert [run.data.tags["tunesmith.error"] for run in found] == [last.removeprefix("error: ")]


def poisoned(told: Told) -> Ended:
    """Run on data that are none, and let the server die meanwhile; afterwards the data are good again."""
    raw = told.checkout.root / "data/raw/colours.jsonl"
    good = raw.read_bytes()
    raw.write_bytes(good + b"no pair\n" * 40)
    ended = told.cut_off("ingest")
    raw.write_bytes(good)
    return ended
