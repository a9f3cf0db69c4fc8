"""Laws of a commit laid out elsewhere: its files, its data, every byte of them checked, and the checkout untouched."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.vcs.dvc import run_dvc, stale_stages
from flows.vcs.dvc_lock import dvc_md5
from flows.vcs.snapshot import write_snapshot
from flows.vcs.worktree import (
    add_worktree,
    data_status,
    default_remote,
    fetch_worktree_data,
    remove_worktree,
    tracked_outputs,
    write_local_config,
)
from pipeline.errors import UserError
from tests.support.repositories import apart, git, make_checkout

pytestmark = pytest.mark.slow  # each project is made by real stages of DVC, which takes half a minute

DVC_YAML = """
stages:
  one:
    cmd: cp data/raw/a out.txt
    deps: [data/raw, data/champion]
    outs: [out.txt]
"""
IGNORED = "/.tunesmith/\n/out.txt\n/data/raw\n/data/champion/*\n!/data/champion/README.md\n"
FILES = {".gitignore": IGNORED, "dvc.yaml": DVC_YAML, "params.yaml": "{}\n", "data/champion/README.md": "here\n"}
RAW = {"a": "of a\n", "b": "of b\n"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after a run that met a champion, its data tracked by DVC, pushed to a remote that lies beside it."""
    place = tmp_path_factory.mktemp("worktree")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart(place).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", FILES)
        (root / "data/raw").mkdir()
        for name, text in RAW.items():
            (root / "data/raw" / name).write_text(text, encoding="utf-8")
        (root / "data/champion/adapter").mkdir()
        (root / "data/champion/adapter/weights").write_text("heavy\n", encoding="utf-8")
        (root / "data/champion/champion.json").write_text("{}\n", encoding="utf-8")
        run_dvc(root, "add", "--quiet", "data/raw")
        run_dvc(root, "repro", "--quiet")
        run_dvc(root, "remote", "add", "--quiet", "--default", "beside", "../store")
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "-m", "a run")
        shutil.copytree(
            root / "data/champion/adapter", root / "earlier"
        )  # what an earlier run left, so that DVC has it
        run_dvc(root, "add", "--quiet", "earlier")
        run_dvc(root, "push", "--quiet")
        git(root, "reset", "--quiet", "--hard")
        git(root, "clean", "--quiet", "--force", "-d", "-x", "earlier", "earlier.dvc")
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with a remote of its own, and an environment in which nothing was seen before."""
    for name, value in apart(tmp_path).items():
        monkeypatch.setenv(name, value)
    shutil.copytree(made.parent / "store", tmp_path / "store")
    return shutil.copytree(made, tmp_path / "project", symlinks=True)


def laid_out(root: Path) -> Path:
    return add_worktree(root, write_snapshot(root, "r1").commit, "past")


def objects(place: Path, text: str) -> list[Path]:
    """Where a cache or a remote keeps a text."""
    return [path for path in place.rglob("*") if path.is_file() and path.read_bytes() == text.encode()]


def test_a_state_comes_back_whole(project: Path) -> None:
    """Files, data, outputs, and the champion that was met, with the very digest that the run recorded."""
    tree = laid_out(project)
    fetch_worktree_data(tree)
    assert {name: (tree / "data/raw" / name).read_text(encoding="utf-8") for name in RAW} == RAW
    assert (tree / "data/champion/adapter/weights").read_text(encoding="utf-8") == "heavy\n"
    assert dict(tracked_outputs(tree)) == {
        name: dvc_md5(project / name) for name in ("data/raw", "data/champion/adapter", "out.txt")
    }
    assert dvc_md5(tree / "data/champion") == dvc_md5(project / "data/champion")
    assert stale_stages(tree) == {}


def test_what_stages_write_is_left_out_where_only_their_sources_are_wanted(project: Path) -> None:
    """Only what the `.dvc` files that are named point to, and no matter whether the rest is to be had."""
    for place in (project / ".dvc/cache", project.parent / "store"):
        for path in objects(place, "heavy\n"):
            path.unlink()
    tree = laid_out(project)
    fetch_worktree_data(tree, "data/raw.dvc")
    assert {name: (tree / "data/raw" / name).read_text(encoding="utf-8") for name in RAW} == RAW
    assert not (tree / "out.txt").exists()
    assert not (tree / "data/champion/adapter").exists()


def test_the_checkout_stays_as_it_is(project: Path) -> None:
    """Branch, index and files, while the worktree is there and when it is gone; DVC does not look into it."""
    before = git(project, "status", "--porcelain", "--branch"), git(project, "rev-parse", "HEAD"), stale_stages(project)
    tree = laid_out(project)
    (tree / "data/champion/README.md").write_text("otherwise\n", encoding="utf-8")
    assert (git(project, "status", "--porcelain", "--branch"), git(project, "rev-parse", "HEAD")) == before[:2]
    assert stale_stages(project) == before[2]
    remove_worktree(project, "past")
    assert not tree.exists()
    assert "past" not in git(project, "worktree", "list")


def test_what_a_killed_process_left_is_replaced(project: Path) -> None:
    """A worktree that is half there, or whose folder is gone, is no obstacle."""
    tree = laid_out(project)
    shutil.rmtree(tree)
    assert (laid_out(project) / "dvc.yaml").exists()
    (tree / ".git").unlink()
    assert (laid_out(project) / ".git").exists()


def test_what_the_cache_lacks_comes_from_the_remote(project: Path) -> None:
    """Also where the remote is named by a path that starts from the checkout."""
    for text in RAW.values():
        for path in objects(project / ".dvc/cache", text):
            path.unlink()
    tree = laid_out(project)
    fetch_worktree_data(tree)
    assert {name: (tree / "data/raw" / name).read_text(encoding="utf-8") for name in RAW} == RAW


@pytest.mark.parametrize(
    ("remote", "places"), [(True, "the remote beside"), (False, "a remote, since none is set")], ids=["remote", "none"]
)
def test_an_object_that_is_nowhere_is_named(project: Path, places: str, *, remote: bool) -> None:
    """A stage that writes it anew would hide that it is lost."""
    for place in (project / ".dvc/cache", project.parent / "store"):
        for path in objects(place, RAW["b"]):
            path.unlink()
    if not remote:
        (project / ".dvc/config").write_text("", encoding="utf-8")
    with pytest.raises(UserError) as told:
        fetch_worktree_data(laid_out(project))
    assert str(told.value) == (
        f"data/raw/b: neither in DVC's cache nor in {places}; push them from where the run was made: `dvc push`"
    )


def test_a_damaged_object_of_the_cache_is_found(project: Path) -> None:
    """DVC brings it without a word."""
    (kept,) = objects(project / ".dvc/cache", RAW["b"])
    kept.chmod(0o644)
    kept.write_text("of c\n", encoding="utf-8")
    with pytest.raises(UserError) as told:
        fetch_worktree_data(laid_out(project))
    assert str(told.value) == (
        "data/raw: not the bytes that were recorded; DVC's copy of them is damaged: remove it from the cache, "
        "and have it pulled again"
    )


def test_every_object_that_the_remote_lacks_is_listed(project: Path) -> None:
    """Also a file of a folder, which DVC, having seen the folder there, takes for present."""
    tree = laid_out(project)
    fetch_worktree_data(tree)
    assert "not_in_remote" not in data_status(tree, "--not-in-remote")
    (kept,) = objects(project.parent / "store", RAW["b"])
    kept.unlink()
    assert data_status(tree, "--not-in-remote")["not_in_remote"] == ["data/raw/b"]


def test_the_default_remote_is_the_one_that_counts(project: Path) -> None:
    """Others are not pushed to."""
    assert default_remote(project) == "beside"
    (project / ".dvc/config").write_text("['remote \"other\"']\n    url = ../store\n", encoding="utf-8")
    assert default_remote(project) is None


def test_settings_are_written_as_dvc_reads_them(project: Path) -> None:
    """With spaces, signs that begin a comment, and quotes."""
    found = {
        "core.remote": "far away",
        "remote.far away.url": "s3://bucket/a # b",
        "remote.far away.password": 'a"b=c',
        "remote.other.url": "/elsewhere",
    }
    (project / ".dvc/config").write_text("", encoding="utf-8")
    (project / ".dvc/config.local").write_text(write_local_config(found, project / "the cache"), encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "-m", "dvc", "config", "--list"], cwd=project, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert set(told) == {
        f"cache.dir={project}/the cache",
        "core.remote=far away",
        "remote.far away.url=s3://bucket/a # b",
        'remote.far away.password=a"b=c',
        "remote.far away.verify=true",
    }
