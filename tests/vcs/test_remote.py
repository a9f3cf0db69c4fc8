"""Laws of the data of a run in DVC's remote: pushed, and each object looked up there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.vcs.dvc import run_dvc
from flows.vcs.git import head_commit
from flows.vcs.remote import fetch_states, push_data, push_state
from flows.vcs.snapshot import write_snapshot
from tests.support.repositories import git, living_in, make_checkout

pytestmark = pytest.mark.slow  # DVC is asked as a process of its own, again and again

DVC_YAML = """
stages:
  one:
    cmd: cp data/raw/a out.txt
    deps: [data/raw]
    outs: [out.txt]
"""
FILES = {".gitignore": "/.tunesmith/\n/out.txt\n/data/raw\n", "dvc.yaml": DVC_YAML, "params.yaml": "{}\n"}


@pytest.fixture
def project(tmp_path: Path, made: Path) -> Iterator[Path]:
    """A copy of the project for each test."""
    with living_in(tmp_path):
        yield shutil.copytree(made, tmp_path / "project", symlinks=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("upload")
    with living_in(place):
        return after_a_run(place)


def after_a_run(place: Path) -> Path:
    """Make a project whose stage was run, with an empty remote beside it."""
    root = make_checkout(place / "project", FILES)
    (root / "data/raw").mkdir(parents=True)
    for name in "ab":
        (root / "data/raw" / name).write_text(f"of {name}\n", encoding="utf-8")
    run_dvc(root, "add", "--quiet", "data/raw")
    run_dvc(root, "repro", "--quiet")
    run_dvc(root, "remote", "add", "--quiet", "--default", "beside", "../store")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "a run")
    return root


def test_data_are_pushed_and_what_is_lost_there_later_is_told(project: Path) -> None:
    """Complete, whatever the tree holds by now; and not complete once a file of a folder is gone from the remote.

    DVC's own push then says that everything is up to date.
    """
    commit = head_commit(project)
    shutil.rmtree(project / "data/raw")
    assert push_data(project, commit) == "complete"
    (lost,) = [
        path for path in (project.parent / "store").rglob("*") if path.is_file() and path.read_text() == "of b\n"
    ]
    lost.unlink()
    assert push_data(project, commit) == "missing 1: data/raw/b"
    assert git(project, "worktree", "list").count("\n") == 0


def test_without_a_remote_nothing_is_pushed(project: Path) -> None:
    """And that is what is recorded."""
    (project / ".dvc/config").write_text("", encoding="utf-8")
    assert push_data(project, head_commit(project)) == "none"


def test_a_remote_that_does_not_answer_ends_no_run(project: Path) -> None:
    """The reason is recorded in its place."""
    (project.parent / "store").write_text("no folder", encoding="utf-8")
    assert push_data(project, head_commit(project)).startswith("not pushed: dvc push: ")


def test_the_state_of_a_run_goes_to_gits_remote_and_comes_into_a_clone(project: Path) -> None:
    """Under its own name, with no branch touched; what was changed and not committed can then be made again there."""
    place = project.parent
    git(place, "init", "--quiet", "--bare", "hub")
    git(project, "remote", "add", "hub", "../hub")
    git(project, "push", "--quiet", "hub", "main")
    (project / "params.yaml").write_text("{a: 1}\n", encoding="utf-8")
    state = write_snapshot(project, "r1").commit
    assert push_state(project, "r1") == "pushed to hub"
    assert push_state(project, "r0") == "none"
    git(place, "clone", "--quiet", "--no-local", "--branch", "main", "hub", "clone")
    clone = place / "clone"
    fetch_states(clone)
    assert git(clone, "show", "refs/tunesmith/runs/r1:params.yaml") == "{a: 1}"
    assert git(clone, "rev-parse", "refs/tunesmith/runs/r1") == state
    assert git(clone, "branch", "--all", "--format=%(refname)").split()[0] == "refs/heads/main"


def test_what_nobody_gave_to_git_is_not_pushed(project: Path) -> None:
    """There may be a secret in it; what a run writes itself does not count."""
    git(project.parent, "init", "--quiet", "--bare", "hub")
    git(project, "remote", "add", "origin", "../hub")
    (project / "data/promotions.jsonl").write_text("", encoding="utf-8")
    write_snapshot(project, "r1")
    assert push_state(project, "r1") == "pushed to origin"
    (project / "notes.txt").write_text("password\n", encoding="utf-8")
    write_snapshot(project, "r2")
    told = "not pushed: holds files that git does not track: notes.txt; add or ignore them"
    assert push_state(project, "r2") == told
    assert "r2" not in git(project.parent / "hub", "for-each-ref")


def test_a_state_stays_here_where_nobody_keeps_the_data(project: Path) -> None:
    """Or where git has no remote, or several of which none is known to be meant; one that is gone ends no run."""
    (project / "params.yaml").write_text("{a: 1}\n", encoding="utf-8")
    write_snapshot(project, "r1")
    nobody = "not pushed: git has no remote, or several and none that is called origin"
    assert push_state(project, "r1") == nobody
    for name in ("one", "other"):
        git(project, "remote", "add", name, "../gone")
    assert push_state(project, "r1") == nobody
    git(project, "remote", "add", "origin", "../gone")
    assert push_state(project, "r1").startswith("not pushed: git push: ")
    assert fetch_states(project).startswith("states of runs are not fetched: git fetch: ")
    (project / ".dvc/config").write_text("", encoding="utf-8")
    assert push_state(project, "r1") == "none"
