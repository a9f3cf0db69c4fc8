"""Laws of the exact state of a run: kept as a ref of its own, and every output checked against DVC's lock file."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.vcs.dvc import run_dvc, stale_stages
from flows.vcs.dvc_lock import dvc_md5, locked_inputs, locked_outputs, verify_outputs
from flows.vcs.git import head_commit
from flows.vcs.snapshot import LARGE_BYTES, Snapshot, changed_paths, write_snapshot
from pipeline.errors import UserError
from tests.support.repositories import apart, git, make_checkout

FILES = {
    "kept.txt": "kept\n",
    "changed.txt": "before\n",
    "removed.txt": "removed\n",
    "staged.txt": "before\n",
    "dvc.lock": "old\n",
    ".gitignore": "/ignored.txt\n/data/champion/*\n",
}
DVC_YAML = """
stages:
  fold:
    cmd: mkdir -p out/a && cp in.txt out/a/x && cp in.txt out/a.txt && cp in.txt 'out/größe 1' && cp in.txt one.txt
    deps: [in.txt]
    outs: [out, one.txt]
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in apart(tmp_path).items():
        monkeypatch.setenv(name, value)
    return make_checkout(tmp_path / "repository", FILES, dvc=False)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose one stage wrote a file and a folder; the tests put back what they change."""
    place = tmp_path_factory.mktemp("locked")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart(place).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", {"in.txt": "what was there\n", "dvc.yaml": DVC_YAML})
        run_dvc(root, "repro", "--quiet")
        yield root  # in its own environment: DVC's memory of sizes and times is there


@pytest.fixture
def put_back(locked: Path) -> Iterator[Path]:
    """That project, to be spoiled; DVC brings its outputs back afterwards."""
    yield locked
    for name in ("one.txt", "out"):
        path = locked / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    run_dvc(locked, "checkout", "--quiet")


def disturb(root: Path) -> None:
    """Change a file, remove one, stage one and change it again, add a new one with a name that git would quote."""
    (root / "changed.txt").write_text("after\n", encoding="utf-8")
    (root / "removed.txt").unlink()
    (root / "staged.txt").write_text("staged\n", encoding="utf-8")
    git(root, "add", "staged.txt")
    (root / "staged.txt").write_text("after\n", encoding="utf-8")
    (root / "nöw here.txt").write_text("new\n", encoding="utf-8")
    (root / "ignored.txt").write_text("ignored\n", encoding="utf-8")


def in_commit(root: Path, commit: str) -> dict[str, str]:
    names = git(root, "ls-tree", "-r", "-z", "--name-only", commit).split("\0")
    return {name: git(root, "show", f"{commit}:{name}") for name in names if name and not name.startswith(".dvc")}


def state(root: Path) -> tuple[str, str, str, dict[str, bytes]]:
    """HEAD with its branch, the index, the account of both, and every file outside .git."""
    files = {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and ".git" not in path.parts}
    branch = (root / ".git" / "HEAD").read_text(encoding="utf-8") + git(root, "rev-parse", "HEAD")
    return branch, git(root, "ls-files", "--stage"), git(root, "status", "--porcelain"), files


def test_a_snapshot_holds_the_exact_tree(repository: Path) -> None:
    """Its commit holds changed, staged and new files as they lie there, and neither removed nor ignored ones."""
    disturb(repository)
    kept = write_snapshot(repository, "r1")
    assert in_commit(repository, kept.commit) == {
        ".gitignore": FILES[".gitignore"].rstrip("\n"),
        "kept.txt": "kept",
        "changed.txt": "after",
        "staged.txt": "after",
        "nöw here.txt": "new",
        "dvc.lock": "old",
    }
    assert kept == Snapshot(head_commit(repository), clean=False, commit=kept.commit)


def test_a_snapshot_touches_nothing(repository: Path) -> None:
    """Branch, HEAD, index and files are afterwards what they were."""
    disturb(repository)
    before = state(repository)
    write_snapshot(repository, "r1")
    assert state(repository) == before


def test_a_snapshot_is_found_by_the_name_of_its_run(repository: Path) -> None:
    """Its ref keeps it from being collected; its parent is the commit that was checked out."""
    disturb(repository)
    kept = write_snapshot(repository, "r1")
    git(repository, "gc", "--quiet", "--prune=now")
    assert git(repository, "rev-parse", "refs/tunesmith/runs/r1") == kept.commit
    assert git(repository, "rev-parse", f"{kept.commit}^") == kept.head == git(repository, "rev-parse", "HEAD")
    assert git(repository, "branch", "--list", "--format=%(refname:short)") == "main"


def test_a_clean_tree_is_its_commit(repository: Path) -> None:
    """Nothing differs, so nothing new is made."""
    assert write_snapshot(repository, "r1") == Snapshot(
        head_commit(repository), clean=True, commit=head_commit(repository)
    )
    assert git(repository, "for-each-ref", "refs/tunesmith") == ""


@pytest.mark.parametrize("name", ["dvc.lock", "data/champion/champion.json"])
def test_what_a_run_writes_itself_leaves_the_tree_clean_and_is_kept(repository: Path, name: str) -> None:
    """dvc.lock, and the champion that git ignores, are part of the state, but no change of the user's."""
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text("of this run\n", encoding="utf-8")
    kept = write_snapshot(repository, "r1")
    assert kept.clean
    assert kept.commit != kept.head
    assert in_commit(repository, kept.commit)[name] == "of this run"


def test_a_large_new_file_is_refused(repository: Path) -> None:
    """What is too large to be meant for git is named, and nothing is kept."""
    with (repository / "big.bin").open("wb") as file:
        file.truncate(LARGE_BYTES + (1 << 20))
    with pytest.raises(UserError) as refused:
        write_snapshot(repository, "r1")
    assert str(refused.value) == (
        "big.bin: a new file of 21 MiB; put it in .gitignore, or under data/raw for DVC"
    )  # fmt: skip
    assert git(repository, "for-each-ref", "refs/tunesmith") == ""


def test_every_differing_file_is_named_but_the_lock(repository: Path) -> None:
    """Tracked or new, in folders or not, each by its whole name; a moved file by both of its names."""
    (repository / "dvc.lock").write_text("new\n", encoding="utf-8")
    (repository / "folder").mkdir()
    (repository / "folder" / "ä.txt").write_text("new\n", encoding="utf-8")
    git(repository, "mv", "kept.txt", "moved.txt")
    assert set(changed_paths(repository)) == {"folder/ä.txt", "kept.txt", "moved.txt"}


def test_without_a_commit_there_is_nothing_to_keep_a_run_with(tmp_path: Path) -> None:
    """The user is told to make one."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    with pytest.raises(UserError) as refused:
        head_commit(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: has no git commit; `git init` and make a first commit; each run is kept as one"
    )


def test_the_lock_file_is_read_as_paths_and_digests(locked: Path) -> None:
    """Outputs by stage, inputs of one; without a lock file there are no outputs."""
    assert {stage: set(outs) for stage, outs in locked_outputs(locked).items()} == {"fold": {"out", "one.txt"}}
    assert locked_inputs(locked, "fold") == {"in.txt": dvc_md5(locked / "in.txt")}
    assert locked_outputs(locked / "out") == {}


def test_files_and_folders_are_hashed_as_dvc_does(locked: Path) -> None:
    """Our digest of each output, folders with folders and odd names too, is the one that DVC wrote down."""
    written = locked_outputs(locked)["fold"]
    assert {name: dvc_md5(locked / name) for name in written} == written
    assert written["out"].endswith(".dir")


@pytest.mark.parametrize(("name", "output"), [("one.txt", "one.txt"), ("out/a/x", "out")])
def test_verify_finds_a_changed_byte_that_dvc_does_not(put_back: Path, name: str, output: str) -> None:
    """DVC goes by size and time of change; a byte that changed behind its back is found by hashing anew."""
    path, locked = put_back / name, put_back
    good, times = path.read_bytes(), path.stat()
    path.write_bytes(good.replace(b"what", b"that"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert stale_stages(locked) == {}
    with pytest.raises(UserError) as found:
        verify_outputs(locked, ["fold"])
    assert str(found.value) == (
        f"{output}: not the bytes that dvc.lock names; remove them and .dvc/cache's copies, "
        "and run the stage with --force"
    )


def test_verify_finds_what_is_gone_and_names_all_of_it(put_back: Path) -> None:
    """Every wrong output is in the one message, and only those of the stages asked for."""
    (put_back / "one.txt").unlink()
    (put_back / "out" / "a.txt").unlink()
    with pytest.raises(UserError, match=r"^(one\.txt, out|out, one\.txt): not the bytes"):
        verify_outputs(put_back, ["fold"])
    verify_outputs(put_back, ["another"])


def test_verify_is_content_with_what_dvc_wrote_down(locked: Path) -> None:
    """Untouched outputs pass, and there are some."""
    verify_outputs(locked, ["fold"])
    assert locked_outputs(locked)["fold"]
