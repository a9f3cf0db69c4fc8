"""Laws of `lineage --verify`: each planted fault is found, named in one line, and nothing else is."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.champion import store
from flows.lineage.chains import build_chains, find_chains
from flows.lineage.verify import find_faults
from flows.tracking.client import mlflow_client
from flows.tracking.runs import TrackingRun, begin_mlflow_run
from flows.tracking.versions import ModelVersion
from flows.vcs.dvc import run_dvc
from flows.vcs.git import head_commit
from flows.vcs.snapshot import write_snapshot
from flows.vcs.states import ADAPTER_PATH, PAIRS_PATH, cache_path, dvc_cache, state_at
from pipeline.hashing import file_sha256
from pipeline.params import load_params
from tests.support.fast_stages import commit, project, released
from tests.support.repositories import git

pytestmark = pytest.mark.slow  # each project is made by real stages of DVC, which takes half a minute

NAME = "quillmoor-triage"


@dataclass(frozen=True)
class Whole:
    """A project with two runs in which nothing is wrong; each test puts back what it spoils."""

    root: Path
    runs: tuple[TrackingRun, ...]
    commits: tuple[str, ...]

    def faults(self) -> list[str]:
        """Everything that is wrong by now."""
        return [str(fault) for fault in find_faults(self.root, build_chains(self.root))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with project(tmp_path_factory.mktemp("faults")) as root:
        first, _ = released(root, "r1")
        commit(root, "second\n", "other data")
        second, _ = released(root, "r2")
        commits = tuple(git(root, "rev-parse", f"refs/tunesmith/runs/{run}^") for run in ("r1", "r2"))
        yield Whole(root, (first, second), commits)


@contextmanager
def spoiled(path: Path, content: bytes | None) -> Iterator[None]:
    """Put other bytes into a file, or delete it; afterwards it is what it was."""
    good, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o644)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    yield
    path.write_bytes(good)
    path.chmod(mode)


def object_of(whole: Whole, run: str, path: str) -> Path:
    """Where DVC keeps an output of a run."""
    state = state_at(whole.root, git(whole.root, "rev-parse", f"refs/tunesmith/runs/{run}"))
    assert state
    return cache_path(dvc_cache(whole.root), state.outputs[path])


def state_of(whole: Whole, run: str) -> str:
    return git(whole.root, "rev-parse", f"refs/tunesmith/runs/{run}")[:12]


def only(fault: str) -> list[str]:
    """The one fault that there is to be."""
    return [fault]


def test_where_nothing_is_wrong_nothing_is_found(whole: Whole) -> None:
    """Data here and in the remote, tags, weights, history and versions."""
    assert whole.faults() == []


@pytest.mark.parametrize("tag", ["dvc.train", "git.commit", "git.clean", "tunesmith.verdict", "packages"])
def test_an_edited_tag_of_a_run_is_found(whole: Whole, tag: str) -> None:
    """Against what git and DVC hold; what else hangs on the tag is told as it is."""
    run = whole.runs[0]
    good = mlflow_client(whole.root).get_run(run.id).data.tags[tag]
    run.set_tags({tag: "edited"})
    found = whole.faults()
    run.set_tags({tag: good})
    assert found == only(
        f"run {run.id[:8]}, tag {tag}: was edited: the files say otherwise; expected {good}; got edited; "
        "set it to what was expected"
    )


def test_an_edited_tag_of_a_version_is_found(whole: Whole) -> None:
    """A tag that is gone counts as edited."""
    connected = mlflow_client(whole.root)
    good = connected.get_model_version(NAME, "1").tags["dvc.pairs"]
    connected.delete_model_version_tag(NAME, "1", "dvc.pairs")
    found = whole.faults()
    connected.set_model_version_tag(NAME, "1", "dvc.pairs", good)
    assert found == only(
        f"version 1 of {NAME}, tag dvc.pairs: was edited: the files say otherwise; expected {good}; got no such tag; "
        "set it to what was expected"
    )


def test_a_deleted_data_object_is_found(whole: Whole) -> None:
    """Though no stage is stale: it is data of a run of the past."""
    path = object_of(whole, "r1", PAIRS_PATH)
    with spoiled(path, None):
        found = whole.faults()
    assert found == only(
        f"{PAIRS_PATH} of {state_of(whole, 'r1')}: its data are not in DVC's cache; expected {path}; "
        "`dvc fetch`, or a backup"
    )


def test_a_data_object_with_other_bytes_is_found(whole: Whole) -> None:
    """One file of a folder, which DVC takes on trust."""
    (listed,) = [path for path in (whole.root / ".dvc/cache").rglob("*") if path.is_file() and whole_weights(path)]
    with spoiled(listed, b"weights of another\n"):
        found = whole.faults()
    (fault,) = found
    assert fault.startswith(
        f"{ADAPTER_PATH} of {state_of(whole, 'r1')}, adapter_model.safetensors: other bytes in DVC's "
    )


def whole_weights(path: Path) -> bool:
    """Say whether a file is the weights of the first run."""
    return path.read_bytes() == b"weights of first\n"


def test_data_that_the_remote_lacks_are_found(whole: Whole) -> None:
    """Once a remote is set: what is only here is lost with this machine."""
    remote = whole.root.parent / "remote"
    run_dvc(whole.root, "remote", "add", "--local", "--default", "there", str(remote))
    shutil.copytree(dvc_cache(whole.root), remote)
    path = object_of(whole, "r1", PAIRS_PATH)
    (remote / path.relative_to(dvc_cache(whole.root))).unlink()
    found = whole.faults()
    run_dvc(whole.root, "remote", "remove", "--local", "there")
    assert found == only(
        f"{PAIRS_PATH} of {state_of(whole, 'r1')}: is not in DVC's remote; `dvc push` from a checkout of it"
    )


def test_swapped_weights_in_the_registry_are_found(whole: Whole) -> None:
    """They are hashed, and are not what the version's tag says."""
    places = (whole.root / ".tunesmith/mlartifacts").rglob("adapter_model.safetensors")
    first, second = sorted(places, key=lambda path: path.read_bytes())
    with spoiled(first, second.read_bytes()):
        found = whole.faults()
        swapped = file_sha256(first)
    assert found == only(
        f"version 1 of {NAME}: its weights are not those that the registry names; expected {file_sha256(first)}; "
        f"got {swapped}; make them again with `tunesmith run`"
    )


def test_swapped_weights_of_the_champion_are_found(whole: Whole) -> None:
    """Those that predict reads."""
    held = store.current_champion(whole.root, NAME)
    assert held
    with spoiled(held.adapter / "adapter_model.safetensors", b"others"):
        (found,) = whole.faults()
    assert found.startswith(f"champion of {NAME}: its weights are not those of its release; expected {held.digest}; ")


def test_an_orphan_version_is_found(whole: Whole) -> None:
    """Its run was deleted, so that nobody can say what made it."""
    mlflow_client(whole.root).delete_run(whole.runs[0].id)
    found = whole.faults()
    mlflow_client(whole.root).restore_run(whole.runs[0].id)
    assert found == only(
        f"version 1 of {NAME}: is an orphan: no run of this project made it; expected a run that names its state and "
        f"this version; got {whole.runs[0].id}; delete the version in MLflow, or bring its run back"
    )


def test_rewritten_history_is_found(whole: Whole) -> None:
    """The commit is on no branch any more, though the ref of its run still keeps it."""
    git(whole.root, "commit", "--quiet", "--amend", "--allow-empty", "-m", "rewritten")
    found = whole.faults()
    git(whole.root, "reset", "--quiet", "--soft", whole.commits[1])
    short = whole.commits[1][:12]
    assert found == only(
        f"run {whole.runs[1].id[:8]}: its commit is on no branch or tag any more: history was rewritten; expected a "
        f"branch with {short}; `git branch NAME {short}` keeps it"
    )


def test_a_state_that_git_has_lost_is_found(whole: Whole) -> None:
    """Neither a ref nor an object is left."""
    lost = "1234567890" * 4
    good = mlflow_client(whole.root).get_run(whole.runs[0].id).data.tags["git.snapshot"]
    whole.runs[0].set_tags({"git.snapshot": lost})
    found = whole.faults()
    whole.runs[0].set_tags({"git.snapshot": good})
    assert found == only(
        f"run {whole.runs[0].id[:8]}: its state is not in git; expected {lost}; "
        "fetch it from where it was run, or run it again"
    )


def test_a_dirty_run_is_found(whole: Whole) -> None:
    """With the files that were changed and not committed, whatever its tag says."""
    path = whole.root / "params.yaml"
    good = path.read_bytes()
    path.write_bytes(good + b"# changed\n")
    state = write_snapshot(whole.root, "r3")
    path.write_bytes(good)
    run = begin_mlflow_run(whole.root, load_params(path), "r3")
    run.set_tags({"git.snapshot": state.commit, "git.commit": head_commit(whole.root), "git.clean": True})
    found = [str(fault) for fault in find_faults(whole.root, find_chains(whole.root, "r3"))]
    mlflow_client(whole.root).delete_run(run.id)
    assert found == only(
        f"run {run.id[:8]}: was run with changes that are not committed; expected the files of {state.head[:12]}; "
        f"got params.yaml; commit them and run again; until then they are kept as {state.commit[:12]}"
    )


def test_an_alias_that_was_moved_by_hand_is_found(whole: Whole) -> None:
    """In the pages of MLflow, past the record."""
    mlflow_client(whole.root).set_registered_model_alias(NAME, "champion", "2")
    found = whole.faults()
    mlflow_client(whole.root).set_registered_model_alias(NAME, "champion", ModelVersion(NAME, "1").number)
    (fault,) = found
    assert fault.startswith(f"alias champion of {NAME}: points at another model than the champion of this checkout; ")
