"""Laws of states of the past: what their lock file said, and outputs brought back from DVC's cache or remote."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.vcs.dvc import run_dvc
from flows.vcs.snapshot import write_snapshot
from flows.vcs.states import (
    HOLDOUT_USES_PATH,
    RELEASE_PATH,
    CommitState,
    cache_path,
    dvc_cache,
    iterate_states,
    resolve_commit,
    restore_output,
    restore_release,
    state_at,
    state_with_adapter,
)
from pipeline.errors import UserError
from tests.support.repositories import git, living_in, make_checkout

pytestmark = pytest.mark.slow  # DVC is asked as a process of its own, again and again

DVC_YAML = """
stages:
  finetune:
    cmd: >-
      mkdir -p data/finetune/adapter/deep data/register && cp in.txt data/finetune/adapter/deep/a && cp in.txt one.txt
      && cp in.txt data/register/release.json && cp in.txt data/register/holdout_uses.parquet
    deps: [in.txt]
    outs: [data/finetune/adapter, one.txt, data/register/release.json, data/register/holdout_uses.parquet]
"""


@dataclass(frozen=True)
class Kept:
    """A project with two states, of which the second is that of now."""

    root: Path
    states: tuple[CommitState, ...]


@pytest.fixture
def kept(tmp_path: Path, made: Kept) -> Iterator[Kept]:
    """A copy of it for each test, which may do with it what it likes."""
    root = shutil.copytree(made.root, tmp_path / "project", symlinks=True)
    with living_in(tmp_path):
        yield Kept(root, made.states)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    place = tmp_path_factory.mktemp("past")
    with living_in(place):
        return with_two_states(place)


def with_two_states(place: Path) -> Kept:
    """Make the project and run its stage twice."""
    ignored = "/data/finetune/\n/data/register/\n/one.txt\n/.tunesmith/\n"
    root = make_checkout(place / "project", {"in.txt": "first\n", "dvc.yaml": DVC_YAML, ".gitignore": ignored})
    (root / "data/finetune").mkdir(parents=True)
    found = []
    for run, text in (("r1", "first\n"), ("r2", "second\n")):
        (root / "in.txt").write_text(text, encoding="utf-8")
        run_dvc(root, "repro", "--quiet")
        state = state_at(root, write_snapshot(root, run).commit)
        assert state is not None
        found.append(state)
    return Kept(root, tuple(found))


def lose(place: Path, state: CommitState, path: str) -> None:
    """Delete an object where DVC keeps it."""
    cache_path(place, state.outputs[path]).unlink()


def test_every_state_is_found_once_the_newest_first(kept: Kept) -> None:
    """Those of runs; what a commit holds is one, too, once it is committed."""
    assert [state.outputs for state in iterate_states(kept.root)] == [state.outputs for state in kept.states[::-1]]
    assert state_at(kept.root, "HEAD") is None
    git(kept.root, "add", "dvc.lock")
    git(kept.root, "commit", "--quiet", "-m", "locked")
    assert [state.commit for state in iterate_states(kept.root)][-1] == git(kept.root, "rev-parse", "HEAD")


def test_a_model_is_found_by_its_bytes(kept: Kept, tmp_path: Path) -> None:
    """The state whose finetune left this very folder."""
    restore_output(kept.root, kept.states[0], "data/finetune/adapter", tmp_path / "adapter")
    assert state_with_adapter(kept.root, tmp_path / "adapter") == kept.states[0]
    (tmp_path / "adapter" / "more").write_text("another", encoding="utf-8")
    assert state_with_adapter(kept.root, tmp_path / "adapter") is None


def test_outputs_come_back_as_they_were(kept: Kept, tmp_path: Path) -> None:
    """A file and a folder, by the name of the run."""
    assert resolve_commit(kept.root, "r1") == kept.states[0].commit
    restore_output(kept.root, kept.states[0], "one.txt", tmp_path / "one.txt")
    restore_output(kept.root, kept.states[0], "data/finetune/adapter", tmp_path / "adapter")
    assert (tmp_path / "one.txt").read_text(encoding="utf-8") == "first\n"
    assert (tmp_path / "adapter/deep/a").read_text(encoding="utf-8") == "first\n"


def test_what_the_cache_lacks_is_fetched_from_the_remote(kept: Kept, tmp_path: Path) -> None:
    """In the lock file of its own commit; tree, branch and worktrees are afterwards what they were."""
    run_dvc(kept.root, "remote", "add", "--local", "--default", "there", str(tmp_path / "remote"))
    before = git(kept.root, "status", "--porcelain"), git(kept.root, "worktree", "list")
    shutil.copytree(dvc_cache(kept.root), tmp_path / "remote")
    lose(dvc_cache(kept.root), kept.states[0], "one.txt")
    restore_output(kept.root, kept.states[0], "one.txt", tmp_path / "one.txt")
    assert (tmp_path / "one.txt").read_text(encoding="utf-8") == "first\n"
    assert (git(kept.root, "status", "--porcelain"), git(kept.root, "worktree", "list")) == before


def test_what_is_nowhere_is_a_problem(kept: Kept, tmp_path: Path) -> None:
    """Which object is missing is said."""
    lose(dvc_cache(kept.root), kept.states[0], "one.txt")
    with pytest.raises(UserError) as caught:
        restore_output(kept.root, kept.states[0], "one.txt", tmp_path / "one.txt")
    missing = cache_path(dvc_cache(kept.root), kept.states[0].outputs["one.txt"])
    assert str(caught.value) == (
        f"one.txt of {kept.states[0].commit[:12]}: is neither in DVC's cache nor in its remote; expected {missing}; "
        "bring the object back from a backup, or name another commit"
    )


def test_the_last_decision_comes_back_to_be_counted(kept: Kept) -> None:
    """In a clone that has none of what a run left; one that is here stays as it is."""
    shutil.rmtree(kept.root / "data/register")
    restore_release(kept.root)
    assert [(kept.root / path).read_text(encoding="utf-8") for path in (RELEASE_PATH, HOLDOUT_USES_PATH)] == [
        "second\n"
    ] * 2
    (kept.root / HOLDOUT_USES_PATH).write_text("newer\n", encoding="utf-8")
    restore_release(kept.root)
    assert (kept.root / HOLDOUT_USES_PATH).read_text(encoding="utf-8") == "newer\n"


def test_a_decision_that_is_nowhere_is_a_problem(kept: Kept) -> None:
    """It is never left out of the count in silence."""
    shutil.rmtree(kept.root / "data/register")
    lose(dvc_cache(kept.root), kept.states[1], HOLDOUT_USES_PATH)
    with pytest.raises(UserError) as caught:
        restore_release(kept.root)
    said = str(caught.value)
    assert said.startswith(f"{RELEASE_PATH}: is not here, so how often the test rows decided cannot be counted; got ")
    assert said.endswith("; `dvc pull` it; or begin anew: take `register` out of dvc.lock")


def test_an_object_with_other_bytes_is_a_problem(kept: Kept, tmp_path: Path) -> None:
    """DVC itself would take them on trust."""
    object_path = cache_path(dvc_cache(kept.root), kept.states[0].outputs["one.txt"])
    object_path.chmod(0o644)
    object_path.write_text("fIrst\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"not the bytes that dvc\.lock names; expected [0-9a-f]{32}; got [0-9a-f]{32}; "
    ):
        restore_output(kept.root, kept.states[0], "one.txt", tmp_path / "one.txt")


def test_an_output_that_never_was_is_a_problem(kept: Kept, tmp_path: Path) -> None:
    """Its name, and where it was looked for."""
    commit = kept.states[0].commit[:12]
    with pytest.raises(UserError) as caught:
        restore_output(kept.root, kept.states[0], "two.txt", tmp_path / "two.txt")
    assert str(caught.value) == (
        f"dvc.lock in {commit}: names no such output; expected two.txt; name another commit"
    )  # fmt: skip
