"""States of the past: the commits that hold them, what DVC's lock file said there, and the outputs as they were."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.paths import private
from flows.vcs.dvc import dvc
from flows.vcs.dvc_lock import inputs, md5_of, outputs
from flows.vcs.git import git
from flows.vcs.snapshot import REFS
from flows.vcs.worktree import add_worktree, default_remote, remove_worktree
from pipeline.errors import Problem

PAIRS = "data/ingest/pairs.parquet"
ADAPTER = "data/finetune/adapter"
ANSWERS = "data/evaluate/predictions.parquet"
RELEASE = "data/register/release.json"
DECIDED = "data/register/holdout_uses.parquet"
LOCK = "dvc.lock"


@dataclass(frozen=True)
class Past:
    """What dvc.lock said in a commit: the MD5 of each output, and of what the first stage read, by path."""

    commit: str
    outputs: dict[str, str]
    sources: dict[str, str]


def commit_of(root: Path, revision: str) -> str:
    """Resolve anything that git knows, or the name of a run, to a commit.

    Raises:
        Problem: If there is no such commit.
    """
    for name in (revision, f"{REFS}/{revision}"):
        try:
            return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except Problem:
            continue
    raise Problem(
        revision, "no such commit, branch, tag or run", do="`git log` and `git for-each-ref refs/tunesmith` list them"
    )


def past(root: Path, commit: str) -> Past | None:
    """Read what dvc.lock said in a commit; None if it had none."""
    try:
        text = git(root, "show", f"{commit}:{LOCK}")
    except Problem:
        return None
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        (Path(place) / LOCK).write_text(text, encoding="utf-8")
        return written(Path(place), commit)


def written(folder: Path, commit: str) -> Past:
    """Read what the dvc.lock in a folder says, which is that of a commit."""
    found = {path: md5 for outs in outputs(folder).values() for path, md5 in outs.items()}
    read = inputs(folder, "ingest") if PAIRS in found else {}
    return Past(commit, found, {path: md5 for path, md5 in read.items() if not path.startswith("pipeline/")})


def states(root: Path) -> Iterator[Past]:
    """Go through the states that are kept: those of runs, the newest first, then commits that changed dvc.lock.

    Runs of one second go by their names, which begin with their time.
    """
    newest = ["--sort=-refname", "--sort=-committerdate"]  # the last of them counts most
    runs = git(root, "for-each-ref", *newest, "--format=%(objectname)", REFS).split()
    commits = git(root, "log", "--format=%H", "--", LOCK).split()
    for commit in dict.fromkeys([*runs, *commits]):
        found = past(root, commit)
        if found is not None:
            yield found


def state_of(root: Path, adapter: Path) -> Past | None:
    """Find the state whose finetune left this very adapter; None if none did."""
    digest = md5_of(adapter)
    return next((state for state in states(root) if state.outputs.get(ADAPTER) == digest), None)


def cache(root: Path) -> Path:
    """Where DVC keeps its objects."""
    return root / dvc(root, "cache", "dir").strip()


def stored(cache_folder: Path, md5: str) -> Path:
    """Where DVC keeps an object: a file's bytes, or for a folder the list of its files."""
    return cache_folder / "files" / "md5" / md5[:2] / md5[2:]


def members(cache_folder: Path, md5: str) -> dict[str, str]:
    """List the files of a folder that DVC keeps: path in it and MD5."""
    listing: list[dict[str, Any]] = json.loads(stored(cache_folder, md5).read_text(encoding="utf-8"))
    return {entry["relpath"]: entry["md5"] for entry in listing}


def bring_back(root: Path, state: Past, path: str, target: Path) -> None:
    """Copy an output as it was in a state out of DVC's cache; what the cache lacks is fetched from the remote.

    Raises:
        Problem: If the state has no such output, its bytes are not to be had, or they are other bytes.
    """
    md5 = state.outputs.get(path)
    if md5 is None:
        raise Problem(f"{LOCK} in {state.commit[:12]}", "names no such output", expected=path, do="name another commit")
    kept = cache(root)
    if not whole(kept, md5):
        fetch(root, state.commit, path)
    if not whole(kept, md5):
        raise Problem(
            f"{path} of {state.commit[:12]}",
            "is neither in DVC's cache nor in its remote",
            expected=str(stored(kept, md5)),
            do="bring the object back from a backup, or name another commit",
        )
    if md5.endswith(".dir"):
        for name, member in members(kept, md5).items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stored(kept, member), target / name)
    else:
        shutil.copyfile(stored(kept, md5), target)
    if md5_of(target) != md5:
        raise Problem(
            str(stored(kept, md5)),
            "not the bytes that dvc.lock names",
            expected=md5,
            got=md5_of(target),
            do="remove the object and bring it back with `dvc fetch`",
        )


def recall(root: Path) -> None:
    """Bring back the answers of the last evaluation if they are not here: what it tested must be known.

    Raises:
        Problem: If they are not to be had.
    """
    called_back(root, ANSWERS, "evaluate", "what the last model was tested on cannot be kept from training")


def recall_decision(root: Path) -> None:
    """Bring back the last release and the rows that decided about it, if they are not here: they are to be counted.

    Raises:
        Problem: If they are not to be had.
    """
    for path in (RELEASE, DECIDED):
        called_back(root, path, "register", "how often the test rows decided cannot be counted")


def called_back(root: Path, path: str, stage: str, otherwise: str) -> None:
    """Bring back what a stage left last, if it is not here.

    Raises:
        Problem: If it is not to be had; with what cannot be done then.
    """
    if path not in written(root, "HEAD").outputs or (root / path).exists():
        return
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    try:
        bring_back(root, written(root, "HEAD"), path, root / path)
    except Problem as problem:
        raise Problem(
            path,
            f"is not here, so {otherwise}",
            got=str(problem),
            do=f"`dvc pull` it; or begin anew: take `{stage}` out of dvc.lock",
        ) from problem


def whole(cache_folder: Path, md5: str) -> bool:
    """Say whether DVC's cache has an object, with all files if it is a folder."""
    if not stored(cache_folder, md5).exists():
        return False
    files = members(cache_folder, md5).values() if md5.endswith(".dir") else []
    return all(stored(cache_folder, member).exists() for member in files)


def fetch(root: Path, commit: str, path: str) -> None:
    """Let DVC fetch an output of a past commit into this checkout's cache, if a remote is set."""
    if default_remote(root) is None:
        return
    try:
        with in_worktree(root, commit) as tree:
            dvc(tree, "fetch", path)
    except Problem as problem:
        raise Problem(f"{path} of {commit[:12]}", f"could not be fetched: {problem}") from problem


@contextmanager
def in_worktree(root: Path, commit: str) -> Iterator[Path]:
    """Lay a commit out beside this checkout, with its cache and settings: DVC asks the lock file that lies there."""
    with tempfile.TemporaryDirectory(prefix="past-", dir=private(root)) as place:
        name = f"{Path(place).name}/tree"
        try:
            yield add_worktree(root, commit, name)
        finally:
            remove_worktree(root, name)
