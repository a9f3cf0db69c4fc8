"""The exact state of a run: its tree as a git ref, and every output checked against what DVC wrote down."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.paths import PROMOTIONS
from flows.vcs.dvc_lock import dvc_md5
from flows.vcs.git import SNAPSHOT_AUTHOR, head_commit, run_git
from pipeline.errors import UserError

RUN_REFS = "refs/tunesmith/runs"
STATE_MESSAGE = "state of run "
CHAMPION_PATH = Path("data/champion")
COMMITTED_BY_RUNS = ("dvc.lock", PROMOTIONS, "data/scored_prompts/", "data/holdout_uses/")
WRITTEN_BY_RUNS = (*COMMITTED_BY_RUNS, f"{CHAMPION_PATH}/champion.json", f"{CHAMPION_PATH}.dvc")
"""What a run writes itself, so that it is no change of the user's: files, and folders."""
LARGE_BYTES = 20 << 20
ADAPTER_POINTER = "wdir: champion\nouts:\n- md5: {md5}\n  hash: md5\n  path: adapter\n"
"""Of the champion's adapter, beside its folder: the folder is an input of stages, and its bytes must stay theirs."""


@dataclass(frozen=True)
class TreeState:
    """The state of the tree that a run met.

    `head` is the commit that was checked out, `clean` whether the tree was that commit but for what a run writes
    itself, `tree` git's object of all of it.
    """

    head: str
    clean: bool
    tree: str


@dataclass(frozen=True)
class Snapshot:
    """The state of the tree: the commit that is checked out, whether anything differs from it, and the exact state.

    `commit` is a commit that holds the exact state; `clean` is whether the tree was the checked-out commit but for
    what a run writes itself.
    """

    head: str
    clean: bool
    commit: str


def changed_paths(root: Path) -> list[str]:
    """List the files that differ from the commit, tracked or new, but for those that a run writes itself."""
    lines = run_git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split("\0")
    return [line[3:] for line in lines if line and not line[3:].startswith(WRITTEN_BY_RUNS)]


def begin_snapshot(root: Path) -> TreeState:
    """Hold the state of the tree as a run meets it; branch, index and files stay as they are.

    Raises:
        UserError: If a new file is too large to be meant for git.
    """
    base, differing = head_commit(root), changed_paths(root)
    for name in differing:
        path = root / name
        if path.is_file() and path.stat().st_size > LARGE_BYTES:
            raise UserError(
                name,
                f"a new file of {path.stat().st_size >> 20} MiB",
                do="put it in .gitignore, or under data/raw for DVC",
            )
    with private_index(root) as own:
        run_git(root, "add", "--all", **own)
        return TreeState(base, clean=not differing, tree=run_git(root, "write-tree", **own))


def write_snapshot(root: Path, run: str, begun: TreeState | None = None) -> Snapshot:
    """Keep the state of a run under a ref of its own: the tree as the run met it, with what the run wrote itself.

    Whatever else was changed since it began has no part in what it made. Branch, index and files stay as they are.

    Args:
        root: The checkout.
        run: The name of the run.
        begun: The state that it met; that of now unless it is given.

    Raises:
        UserError: If a new file is too large to be meant for git.
    """
    met = begun or begin_snapshot(root)
    with private_index(root) as own:
        run_git(root, "read-tree", met.tree, **own)
        run_git(root, "add", "--", *(name for name in COMMITTED_BY_RUNS if (root / name).exists()), **own)
        stage_champion(root, own)
        tree = run_git(root, "write-tree", **own)
    if tree == run_git(root, "rev-parse", f"{met.head}^{{tree}}"):
        return Snapshot(met.head, clean=True, commit=met.head)
    commit = run_git(root, "commit-tree", tree, "-p", met.head, "-m", f"{STATE_MESSAGE}{run}", **SNAPSHOT_AUTHOR)
    run_git(root, "update-ref", f"{RUN_REFS}/{run}", commit)
    return Snapshot(met.head, clean=met.clean, commit=commit)


@contextmanager
def private_index(root: Path) -> Iterator[dict[str, str]]:
    """Give the environment that names an index of one's own, which begins as a copy of the user's."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        index = Path(scratch) / "index"
        current = root / run_git(root, "rev-parse", "--git-path", "index")
        if current.exists():
            shutil.copy(current, index)
        yield {"GIT_INDEX_FILE": str(index)}


def stage_champion(root: Path, own: dict[str, str]) -> None:
    """Put what the run was compared with into an index: git ignores it, yet it is part of the state of the run.

    Its record goes in whole; its weights as a `.dvc` file, since DVC keeps them as what an earlier run left. So
    `dvc checkout` brings them back, while the tree that the user sees has no such file.

    Args:
        root: The checkout.
        own: The environment that names the index.
    """
    if (root / CHAMPION_PATH / "champion.json").exists():
        run_git(root, "add", "--force", str(CHAMPION_PATH / "champion.json"), **own)
    if (root / CHAMPION_PATH / "adapter").exists():
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
            pointer = Path(scratch) / "champion.dvc"
            pointer.write_text(ADAPTER_POINTER.format(md5=dvc_md5(root / CHAMPION_PATH / "adapter")), encoding="utf-8")
            blob = run_git(root, "hash-object", "-w", str(pointer))
        run_git(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{CHAMPION_PATH}.dvc", **own)


def read_snapshot(root: Path, commit: str) -> Snapshot:
    """Say of a commit that holds the state of a run what `write_snapshot` said when it was kept.

    Raises:
        UserError: If git has no such commit.
    """
    author, subject = run_git(root, "log", "-1", "--format=%ae%n%s", commit).split("\n", 1)
    if author != SNAPSHOT_AUTHOR["GIT_AUTHOR_EMAIL"] or not subject.startswith(STATE_MESSAGE):
        return Snapshot(commit, clean=True, commit=commit)
    base = run_git(root, "rev-parse", f"{commit}^")
    return Snapshot(base, clean=not differing_paths(root, base, commit), commit=commit)


def differing_paths(root: Path, base: str, commit: str) -> list[str]:
    """List the files in which two commits differ, but for those that a run writes itself."""
    names = run_git(root, "diff-tree", "-r", "-z", "--name-only", "--no-renames", base, commit).split("\0")
    return [name for name in names if name and not name.startswith(WRITTEN_BY_RUNS)]
