"""Laws of naming the files that changed in a folder, against real git and real DVC."""

from pathlib import Path

import pytest

from flows.vcs.changed_files import changed_in_folder, commit_with_folder, folder_md5_at
from flows.vcs.dvc import run_dvc
from flows.vcs.dvc_lock import dvc_md5, locked_inputs
from flows.vcs.git import head_commit
from flows.vcs.snapshot import write_snapshot
from tests.support.repositories import apart, git, make_checkout

FOLDER = "pipeline/stats"
FILES = {
    f"{FOLDER}/bootstrap.py": "draws = 1\n",
    f"{FOLDER}/größe 1.py": "size = 1\n",
    f"{FOLDER}/deep/power.py": "power = 1",
    "pipeline/other.py": "other = 1\n",
    ".gitignore": "__pycache__/\n/out.txt\n/.dvc/\n",
    "dvc.yaml": f"stages:\n  ingest:\n    cmd: echo made > out.txt\n    deps: [{FOLDER}]\n    outs: [out.txt]\n",
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in apart(tmp_path).items():
        monkeypatch.setenv(name, value)
    return make_checkout(tmp_path / "checkout", FILES)


def write(root: Path, name: str, text: str) -> None:
    (root / FOLDER / name).write_text(text, encoding="utf-8")


def commit_all(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "changed")


def test_a_folder_of_a_commit_has_the_digest_that_dvc_writes_down(checkout: Path) -> None:
    """Whatever its files are called, and without what git ignores."""
    (checkout / FOLDER / "__pycache__").mkdir()
    run_dvc(checkout, "repro", "--quiet")
    locked = locked_inputs(checkout, "ingest")[FOLDER]
    assert folder_md5_at(checkout, head_commit(checkout), FOLDER) == locked
    assert commit_with_folder(checkout, FOLDER, locked) == head_commit(checkout)
    assert changed_in_folder(checkout, FOLDER, locked) == []


def test_edited_new_and_removed_files_are_named_and_no_other(checkout: Path) -> None:
    """Committed since or not; a change outside the folder is none of it."""
    before = dvc_md5(checkout / FOLDER)
    write(checkout, "bootstrap.py", "draws = 2\n")
    (checkout / "pipeline/other.py").write_text("other = 2\n", encoding="utf-8")
    commit_all(checkout)
    assert changed_in_folder(checkout, FOLDER, before) == ["bootstrap.py"]
    write(checkout, "new.py", "new = 1\n")
    (checkout / FOLDER / "größe 1.py").unlink()
    assert changed_in_folder(checkout, FOLDER, before) == ["bootstrap.py", "größe 1.py", "new.py"]


def test_the_commit_of_a_run_counts(checkout: Path) -> None:
    """What a run met and nobody committed is kept under its ref."""
    write(checkout, "bootstrap.py", "draws = 2\n")
    met = dvc_md5(checkout / FOLDER)
    write_snapshot(checkout, "run-1")
    write(checkout, "deep/power.py", "power = 3")
    assert changed_in_folder(checkout, FOLDER, met) == ["deep/power.py"]


def test_nothing_is_named_where_no_commit_holds_the_content(checkout: Path) -> None:
    """A guess would send people to the wrong file."""
    write(checkout, "bootstrap.py", "draws = 2\n")
    lost = dvc_md5(checkout / FOLDER)
    write(checkout, "bootstrap.py", "draws = 3\n")
    commit_all(checkout)
    assert commit_with_folder(checkout, FOLDER, lost) is None
    assert changed_in_folder(checkout, FOLDER, lost) == []
