"""Laws of what a killed DVC leaves: cut off anywhere, its files are whole again before the next command asks it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.vcs.dvc import run_dvc, stale_stages
from flows.vcs.lock import checkout_lock
from flows.vcs.recovery import DVC_RWLOCK, recover_files, recover_if_free
from pipeline.errors import UserError
from tests.support.repositories import git, living_in, make_checkout

pytestmark = pytest.mark.slow  # DVC is asked as a process of its own, again and again

DVC_YAML = """
stages:
  one:
    cmd: cp data/raw/a one.txt && echo ran >> ran.log
    deps: [data/raw]
    outs: [one.txt]
"""
FILES = {".gitignore": "/.tunesmith/\n/one.txt\n/data/raw\n/ran.log\n", "dvc.yaml": DVC_YAML, "params.yaml": "{}\n"}


@pytest.fixture
def project(tmp_path: Path, made: Path) -> Iterator[Path]:
    """A copy of the project for each test."""
    with living_in(tmp_path):
        yield shutil.copytree(made, tmp_path / "project", symlinks=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mended")
    with living_in(place):
        return after_a_run(place)


def after_a_run(place: Path) -> Path:
    """Make a project in which one stage was run, and committed."""
    root = make_checkout(place / "project", FILES)
    (root / "data/raw").mkdir(parents=True)
    (root / "data/raw/a").write_text("of a\n", encoding="utf-8")
    run_dvc(root, "add", "--quiet", "data/raw")
    run_dvc(root, "repro", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "a run")
    return root


def test_dvc_goes_on_after_a_kill_that_cut_its_locks_off(project: Path) -> None:
    """It refuses by itself, whatever it is asked, until somebody removes the file."""
    (project / DVC_RWLOCK).write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="RWLock"):
        stale_stages(project)
    recover_files(project)
    assert stale_stages(project) == {}


@pytest.mark.parametrize("name", ["dvc.lock", "data/raw.dvc"])
def test_a_record_that_was_cut_off_anywhere_is_whole_again(project: Path, name: str) -> None:
    """As the last run met it, which may be newer than the commit; or it is cut where DVC reads it all the same."""
    path = project / name
    kept = path.read_bytes().replace(b"size: 5", b"size: 6")
    assert git(project, "show", f"HEAD:{name}").encode() != kept
    for end in range(len(kept) - 1):
        path.write_bytes(kept)
        recover_files(project)
        path.write_bytes(kept[:end])
        recover_files(project)
        if path.read_bytes() != kept:
            assert path.read_bytes() == kept[:end]
            assert set(stale_stages(project)) <= {"one", "data/raw.dvc"}


def test_stages_that_the_copy_does_not_name_come_from_the_cache(project: Path) -> None:
    """Nothing is run again for a lock file that lost them."""
    lock = project / "dvc.lock"
    whole = lock.read_bytes()
    recover_files(project)
    (project / "data/raw/a").write_text("newer\n", encoding="utf-8")
    run_dvc(project, "add", "--quiet", "data/raw")
    run_dvc(project, "repro", "--quiet")
    newer = lock.read_bytes()
    lock.write_bytes(newer[: len(newer) // 2])
    recover_files(project)
    assert lock.read_bytes() == whole
    assert "one" in stale_stages(project)
    run_dvc(project, "repro", "--quiet")
    assert lock.read_bytes() == newer
    assert (project / "ran.log").read_text(encoding="utf-8") == "ran\nran\n"


def test_what_cannot_be_made_whole_is_told(project: Path) -> None:
    """With what to do; and a file that is not there is nobody's fault."""
    git(project, "rm", "--quiet", "--cached", "dvc.lock")
    git(project, "commit", "--quiet", "-m", "without")
    (project / "dvc.lock").write_text("schema: '2.0'\nsta", encoding="utf-8")
    with pytest.raises(UserError) as told:
        recover_files(project)
    assert str(told.value).startswith("dvc.lock: is cut off: DVC was killed while it wrote it; remove it; ")
    (project / "dvc.lock").unlink()
    recover_files(project)


def test_a_merge_conflict_is_for_a_person_to_settle(project: Path) -> None:
    """An older copy in its place would hide that there was one."""
    for branch, text in (("other", "theirs"), ("main", "ours")):
        git(project, "checkout", "--quiet", "-B", branch, "HEAD~1" if branch == "main" else "HEAD")
        (project / "dvc.lock").write_text(text, encoding="utf-8")
        git(project, "add", "--all")
        git(project, "commit", "--quiet", "-m", text)
    with pytest.raises(subprocess.CalledProcessError):
        git(project, "merge", "other")
    found = (project / "dvc.lock").read_bytes()
    with pytest.raises(UserError) as told:
        recover_files(project)
    assert str(told.value) == "dvc.lock: holds a merge conflict; settle it, and `git add dvc.lock`"
    assert (project / "dvc.lock").read_bytes() == found


def test_nobody_mends_what_a_run_is_writing(project: Path) -> None:
    """A command that only looks leaves the files to the run that goes on."""
    lock = project / "dvc.lock"
    lock.write_text("", encoding="utf-8")
    with checkout_lock(project, "tunesmith run"):
        recover_if_free(project)
        assert lock.read_bytes() == b""
    recover_if_free(project)
    assert lock.read_bytes() != b""
