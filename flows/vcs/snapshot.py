"""The exact state of a run: its tree as a git ref, and every output checked against what DVC wrote down."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.paths import PROMOTIONS
from flows.vcs.dvc_lock import md5_of
from flows.vcs.git import AUTHOR, git, head
from pipeline.errors import Problem

REFS = "refs/tunesmith/runs"
STATE_OF = "state of run "
CHAMPION = Path("data/champion")
WRITTEN_FOR_GIT = ("dvc.lock", PROMOTIONS, "data/scored_prompts/", "data/holdout_uses/")
WRITTEN = (*WRITTEN_FOR_GIT, f"{CHAMPION}/champion.json", f"{CHAMPION}.dvc")
"""What a run writes itself, so that it is no change of the user's: files, and folders."""
LARGE_BYTES = 20 << 20
POINTER = "wdir: champion\nouts:\n- md5: {md5}\n  hash: md5\n  path: adapter\n"
"""Of the champion's adapter, beside its folder: the folder is an input of stages, and its bytes must stay theirs."""


@dataclass(frozen=True)
class Begun:
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


def changed(root: Path) -> list[str]:
    """List the files that differ from the commit, tracked or new, but for those that a run writes itself."""
    lines = git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split("\0")
    return [line[3:] for line in lines if line and not line[3:].startswith(WRITTEN)]


def begin(root: Path) -> Begun:
    """Hold the state of the tree as a run meets it; branch, index and files stay as they are.

    Raises:
        Problem: If a new file is too large to be meant for git.
    """
    base, differing = head(root), changed(root)
    for name in differing:
        path = root / name
        if path.is_file() and path.stat().st_size > LARGE_BYTES:
            raise Problem(
                name,
                f"a new file of {path.stat().st_size >> 20} MiB",
                do="put it in .gitignore, or under data/raw for DVC",
            )
    with own_index(root) as own:
        git(root, "add", "--all", **own)
        return Begun(base, clean=not differing, tree=git(root, "write-tree", **own))


def snapshot(root: Path, run: str, begun: Begun | None = None) -> Snapshot:
    """Keep the state of a run under a ref of its own: the tree as the run met it, with what the run wrote itself.

    Whatever else was changed since it began has no part in what it made. Branch, index and files stay as they are.

    Args:
        root: The checkout.
        run: The name of the run.
        begun: The state that it met; that of now unless it is given.

    Raises:
        Problem: If a new file is too large to be meant for git.
    """
    met = begun or begin(root)
    with own_index(root) as own:
        git(root, "read-tree", met.tree, **own)
        git(root, "add", "--", *(name for name in WRITTEN_FOR_GIT if (root / name).exists()), **own)
        stage_champion(root, own)
        tree = git(root, "write-tree", **own)
    if tree == git(root, "rev-parse", f"{met.head}^{{tree}}"):
        return Snapshot(met.head, clean=True, commit=met.head)
    commit = git(root, "commit-tree", tree, "-p", met.head, "-m", f"{STATE_OF}{run}", **AUTHOR)
    git(root, "update-ref", f"{REFS}/{run}", commit)
    return Snapshot(met.head, clean=met.clean, commit=commit)


@contextmanager
def own_index(root: Path) -> Iterator[dict[str, str]]:
    """Give the environment that names an index of one's own, which begins as a copy of the user's."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        index = Path(place) / "index"
        current = root / git(root, "rev-parse", "--git-path", "index")
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
    if (root / CHAMPION / "champion.json").exists():
        git(root, "add", "--force", str(CHAMPION / "champion.json"), **own)
    if (root / CHAMPION / "adapter").exists():
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
            pointer = Path(place) / "champion.dvc"
            pointer.write_text(POINTER.format(md5=md5_of(root / CHAMPION / "adapter")), encoding="utf-8")
            blob = git(root, "hash-object", "-w", str(pointer))
        git(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{CHAMPION}.dvc", **own)


def kept(root: Path, commit: str) -> Snapshot:
    """Say of a commit that holds the state of a run what `snapshot` said when it was kept.

    Raises:
        Problem: If git has no such commit.
    """
    who, subject = git(root, "log", "-1", "--format=%ae%n%s", commit).split("\n", 1)
    if who != AUTHOR["GIT_AUTHOR_EMAIL"] or not subject.startswith(STATE_OF):
        return Snapshot(commit, clean=True, commit=commit)
    base = git(root, "rev-parse", f"{commit}^")
    return Snapshot(base, clean=not differing(root, base, commit), commit=commit)


def differing(root: Path, base: str, commit: str) -> list[str]:
    """List the files in which two commits differ, but for those that a run writes itself."""
    names = git(root, "diff-tree", "-r", "-z", "--name-only", "--no-renames", base, commit).split("\0")
    return [name for name in names if name and not name.startswith(WRITTEN)]
