"""Laws of the data of a run in DVC's remote: pushed, and each object looked up there."""

import shutil
from pathlib import Path

import pytest
from checkout import apart, git, make_checkout

from flows.repro import dvc
from flows.snapshot import head
from flows.upload import upload

DVC_YAML = """
stages:
  one:
    cmd: cp data/raw/a out.txt
    deps: [data/raw]
    outs: [out.txt]
"""
FILES = {".gitignore": "/.tunesmith/\n/out.txt\n/data/raw\n", "dvc.yaml": DVC_YAML, "params.yaml": "{}\n"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project after a run, with an empty remote beside it."""
    for name, value in apart(tmp_path).items():
        monkeypatch.setenv(name, value)
    root = make_checkout(tmp_path / "project", FILES)
    (root / "data/raw").mkdir(parents=True)
    for name in "ab":
        (root / "data/raw" / name).write_text(f"of {name}\n", encoding="utf-8")
    dvc(root, "add", "--quiet", "data/raw")
    dvc(root, "repro", "--quiet")
    dvc(root, "remote", "add", "--quiet", "--default", "beside", "../store")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "a run")
    return root


def test_data_are_pushed_and_what_is_lost_there_later_is_told(project: Path) -> None:
    """Complete, whatever the tree holds by now; and not complete once a file of a folder is gone from the remote.

    DVC's own push then says that everything is up to date.
    """
    commit = head(project)
    shutil.rmtree(project / "data/raw")
    assert upload(project, commit) == "complete"
    (lost,) = [
        path for path in (project.parent / "store").rglob("*") if path.is_file() and path.read_text() == "of b\n"
    ]
    lost.unlink()
    assert upload(project, commit) == "missing 1: data/raw/b"
    assert git(project, "worktree", "list").count("\n") == 0


def test_without_a_remote_nothing_is_pushed(project: Path) -> None:
    """And that is what is recorded."""
    (project / ".dvc/config").write_text("", encoding="utf-8")
    assert upload(project, head(project)) == "none"


def test_a_remote_that_does_not_answer_ends_no_run(project: Path) -> None:
    """The reason is recorded in its place."""
    (project.parent / "store").write_text("no folder", encoding="utf-8")
    assert upload(project, head(project)).startswith("not pushed: dvc push: ")
