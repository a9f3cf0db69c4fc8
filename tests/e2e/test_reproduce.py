"""Laws of a model that is made again, whole: the same from its name alone, and a fault found where it was put."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.vcs.dvc_lock import dvc_md5
from tests.support.repositories import git
from tests.support.tiny_project import NAME, Checkout, make_project

pytestmark = pytest.mark.slow  # runs of the flow, and each of them made again

STEPS = [
    "raw data", "pairs", "splits", "token ids and masks", "initial weights", "first losses", "adapter", "predictions",
    "metrics", "verdict",
]  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[Checkout]:
    """The tiny project after two runs, the second of which met the first as champion; with a remote beside it."""
    made = make_project(tmp_path_factory.mktemp("reproduced"), base)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        made.call("-m", "dvc", "remote", "add", "--default", "beside", "../store").check_returncode()
        git(made.root, "commit", "--quiet", "--all", "-m", "a remote")
        for rate in (0.03, 0.02):
            made.change(finetune__learning_rate=rate)
            made.tunesmith("run").check_returncode()
            git(made.root, "add", "--all")
            git(made.root, "commit", "--quiet", "-m", f"a run at {rate}")
        yield made


@pytest.fixture(scope="module")
def mlflow(checkout: Checkout) -> MlflowClient:
    """A copy of what MLflow knows after the runs; a database that is read while it is written would stay locked."""
    return told(checkout)


def told(checkout: Checkout) -> MlflowClient:
    """Copy what MLflow knows by now."""
    place = checkout.root.parent / f"mlflow-{len(list(checkout.root.parent.glob('mlflow-*')))}.db"
    with (
        closing(sqlite3.connect(checkout.root / ".tunesmith/mlflow.db")) as found,
        closing(sqlite3.connect(place)) as to,
    ):
        found.backup(to)
    return MlflowClient(f"sqlite:///{place}", f"sqlite:///{place}")


def state_of(mlflow: MlflowClient, version: str) -> str:
    return str(mlflow.get_model_version(NAME, version).tags["git.snapshot"])


def planted(checkout: Checkout, commit: str, name: str, text: str) -> str:
    """Give a commit that is another but for one file; what was recorded, its dvc.lock, is as it was."""
    place = checkout.root.parent / "planting"
    git(checkout.root, "worktree", "add", "--quiet", "--detach", str(place), commit)
    (place / name).write_text(text, encoding="utf-8")
    git(place, "commit", "--quiet", "--all", "-m", "a fault")
    made = git(place, "rev-parse", "HEAD")
    git(checkout.root, "worktree", "remove", "--force", str(place))
    return made


def comparison(said: str) -> dict[str, str]:
    """What was said of each step: same, differs, or within tolerance."""
    lines = [line for line in said.splitlines() if line.startswith(tuple(STEPS))]
    return {line[:20].strip(): line[20:].split("  ")[-1] for line in lines}


def test_a_run_says_that_its_data_are_in_the_remote(checkout: Checkout, mlflow: MlflowClient) -> None:
    """Each of the two, in MLflow; and the folder beside the project has the weights."""
    runs = [mlflow.get_run(mlflow.get_model_version(NAME, number).run_id) for number in ("1", "2")]
    assert [run.data.tags["data.remote"] for run in runs] == ["complete", "complete"]
    weights = (checkout.root / "data/finetune/adapter/adapter_model.safetensors").read_bytes()
    store = checkout.root.parent / "store"
    assert any(path.read_bytes() == weights for path in store.rglob("*") if path.is_file())


def test_a_model_is_made_again_from_the_name_of_its_version(checkout: Checkout, mlflow: MlflowClient) -> None:
    """With the cache lost, and against the champion that it met then: every step is the same."""
    shutil.rmtree(checkout.root / ".dvc/cache")
    before = git(checkout.root, "status", "--porcelain")
    done = checkout.tunesmith("reproduce", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert comparison(done.stdout) == dict.fromkeys(STEPS, "same")
    assert done.stdout.splitlines()[-1] == "identical"
    assert "otherwise" not in done.stdout
    assert git(checkout.root, "status", "--porcelain") == before
    assert not (checkout.root / ".tunesmith/reproduce").exists()
    version = told(checkout).get_model_version(NAME, "2")
    run = told(checkout).get_run(version.run_id)
    assert version.tags["tunesmith.reproduced"] == run.data.tags["tunesmith.reproduced"] == "identical"
    assert mlflow.get_run(version.run_id).data.tags.keys() < run.data.tags.keys()


def test_a_line_of_code_that_changed_is_named(checkout: Checkout, mlflow: MlflowClient) -> None:
    """The answers are the same, and what is made of them is not."""
    commit = state_of(mlflow, "1")
    code = git(checkout.root, "show", f"{commit}:pipeline/stats/bootstrap.py")
    done = checkout.tunesmith(
        "reproduce",
        planted(
            checkout,
            commit,
            "pipeline/stats/bootstrap.py",
            code.replace("SHOWN_CONFIDENCE = 0.95", "SHOWN_CONFIDENCE = 0.9") + "\n",
        ),
    )
    assert done.returncode == 1, done.stderr
    assert comparison(done.stdout) == dict.fromkeys(STEPS, "same") | {
        "metrics": "differs",
        "verdict": comparison(done.stdout)["verdict"],
    }
    assert "differs at metrics; likely cause:\n  code pipeline/stats/bootstrap.py: " in done.stdout


def test_a_byte_of_the_data_that_changed_is_named(checkout: Checkout, mlflow: MlflowClient) -> None:
    """At the foot of the comparison, whatever comes of it above."""
    commit, raw = state_of(mlflow, "1"), checkout.root / "data/raw/colours.jsonl"
    good, pointer = raw.read_bytes(), checkout.root / "data/raw.dvc"
    raw.write_bytes(good.replace(b"on day 0", b"on day X", 1))
    checkout.call("-m", "dvc", "add", "--quiet", "data/raw").check_returncode()
    changed, digest = pointer.read_text(encoding="utf-8"), dvc_md5(checkout.root / "data/raw")
    raw.write_bytes(good)
    checkout.call("-m", "dvc", "add", "--quiet", "data/raw").check_returncode()
    done = checkout.tunesmith("reproduce", planted(checkout, commit, "data/raw.dvc", changed))
    assert done.returncode == 1, done.stderr
    assert comparison(done.stdout)["raw data"] == comparison(done.stdout)["pairs"] == "differs"
    cause = f"  data data/raw: {dvc_md5(checkout.root / 'data/raw')[:12]} then, {digest[:12]} now\n"
    assert f"differs at raw data; likely cause:\n{cause}" in done.stdout


def test_another_number_of_threads_and_another_rate_are_named(checkout: Checkout, mlflow: MlflowClient) -> None:
    """The rate changes every number of a training; the threads do on some processors. What was made is left to see."""
    commit = state_of(mlflow, "1")
    params = git(checkout.root, "show", f"{commit}:params.yaml")
    for recorded, other in (("threads: 1", "threads: 2"), ("learning_rate: 0.03", "learning_rate: 0.04")):
        assert params.count(recorded) == 1
        params = params.replace(recorded, other)
    done = checkout.tunesmith("reproduce", planted(checkout, commit, "params.yaml", f"{params}\n"))
    assert done.returncode == 1, done.stderr
    assert "  changed: thread count: 1 then, 2 now\n" in done.stdout
    assert next(step for step, word in comparison(done.stdout).items() if word == "differs") == "first losses"
    told = done.stdout.partition("differs at first losses; likely cause:\n")[2].partition("look at")[0]
    assert "  thread count: 1 then, 2 now\n" in told
    assert "  params finetune.learning_rate: 0.03 then, 0.04 now\n" in told
    assert (checkout.root / ".tunesmith/reproduce/.tunesmith/recorded/data/finetune/adapter").exists()


def test_an_object_that_is_lost_is_no_reason_to_make_it_anew(checkout: Checkout) -> None:
    """It is named, and no stage is run."""
    weights = (checkout.root / "data/finetune/adapter/adapter_model.safetensors").read_bytes()
    for place in (checkout.root / ".dvc/cache", checkout.root.parent / "store"):
        for path in [path for path in place.rglob("*") if path.is_file() and path.read_bytes() == weights]:
            path.rename(path.with_suffix(".away"))
    done = checkout.tunesmith("reproduce", f"{NAME}/2")
    for place in (checkout.root / ".dvc/cache", checkout.root.parent / "store"):
        for path in place.rglob("*.away"):
            path.rename(path.with_suffix(""))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: data/finetune/adapter/adapter_model.safetensors: neither in DVC's cache nor in the remote beside; "
    )
    assert "ingest" not in done.stdout


def test_in_a_plain_clone_a_model_meets_the_champion_that_it_met_then(checkout: Checkout) -> None:
    """Its commit holds no champion, for git ignores it; the release says who it was, and the remote has the weights."""
    git(checkout.root.parent, "clone", "--quiet", "--no-local", "project", "clone")
    clone = Checkout(checkout.root.parent / "clone", checkout.environment)
    done = clone.tunesmith("reproduce", "HEAD")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "without a run in MLflow" in done.stdout.splitlines()[0]
    assert comparison(done.stdout) == dict.fromkeys(STEPS, "same")
    assert "otherwise" not in done.stdout
