"""States of the past: the commits that hold them, what DVC's lock file said there, and the outputs as they were."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.paths import DVC_LOCK, state_dir
from flows.vcs.dvc import run_dvc
from flows.vcs.dvc_lock import dvc_md5, locked_inputs, locked_outputs
from flows.vcs.git import run_git
from flows.vcs.snapshot import RUN_REFS
from flows.vcs.worktree import add_worktree, default_remote, remove_worktree
from pipeline.errors import UserError

PAIRS_PATH = "data/ingest/pairs.parquet"
ADAPTER_PATH = "data/finetune/adapter"
PREDICTIONS_PATH = "data/evaluate/predictions.parquet"
RELEASE_PATH = "data/register/release.json"
HOLDOUT_USES_PATH = "data/register/holdout_uses.parquet"


@dataclass(frozen=True)
class CommitState:
    """What dvc.lock said in a commit: the MD5 of each output, and of what the first stage read, by path."""

    commit: str
    outputs: dict[str, str]
    sources: dict[str, str]


def resolve_commit(root: Path, revision: str) -> str:
    """Resolve anything that git knows, or the name of a run, to a commit.

    Raises:
        UserError: If there is no such commit.
    """
    for name in (revision, f"{RUN_REFS}/{revision}"):
        try:
            return run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except UserError:
            continue
    raise UserError(
        revision, "no such commit, branch, tag or run", do="`git log` and `git for-each-ref refs/tunesmith` list them"
    )


def state_at(root: Path, commit: str) -> CommitState | None:
    """Read what dvc.lock said in a commit; None if it had none."""
    try:
        text = run_git(root, "show", f"{commit}:{DVC_LOCK}")
    except UserError:
        return None
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        (Path(scratch) / DVC_LOCK).write_text(text, encoding="utf-8")
        return read_lock_state(Path(scratch), commit)


def read_lock_state(folder: Path, commit: str) -> CommitState:
    """Read what the dvc.lock in a folder says, which is that of a commit."""
    outputs = {path: md5 for outs in locked_outputs(folder).values() for path, md5 in outs.items()}
    read = locked_inputs(folder, "ingest") if PAIRS_PATH in outputs else {}
    return CommitState(commit, outputs, {path: md5 for path, md5 in read.items() if not path.startswith("pipeline/")})


def iterate_states(root: Path) -> Iterator[CommitState]:
    """Go through the states that are kept: those of runs, the newest first, then commits that changed dvc.lock.

    Runs of one second go by their names, which begin with their time.
    """
    newest = ["--sort=-refname", "--sort=-committerdate"]  # the last of them counts most
    runs = run_git(root, "for-each-ref", *newest, "--format=%(objectname)", RUN_REFS).split()
    commits = run_git(root, "log", "--format=%H", "--", DVC_LOCK).split()
    for commit in dict.fromkeys([*runs, *commits]):
        state = state_at(root, commit)
        if state is not None:
            yield state


def state_with_adapter(root: Path, adapter: Path) -> CommitState | None:
    """Find the state whose finetune left this very adapter; None if none did."""
    digest = dvc_md5(adapter)
    return next((state for state in iterate_states(root) if state.outputs.get(ADAPTER_PATH) == digest), None)


def dvc_cache(root: Path) -> Path:
    """Where DVC keeps its objects."""
    return root / run_dvc(root, "cache", "dir").strip()


def cache_path(cache_folder: Path, md5: str) -> Path:
    """Where DVC keeps an object: a file's bytes, or for a folder the list of its files."""
    return cache_folder / "files" / "md5" / md5[:2] / md5[2:]


def folder_members(cache_folder: Path, md5: str) -> dict[str, str]:
    """List the files of a folder that DVC keeps: path in it and MD5."""
    listing: list[dict[str, Any]] = json.loads(cache_path(cache_folder, md5).read_text(encoding="utf-8"))
    return {entry["relpath"]: entry["md5"] for entry in listing}


def restore_output(root: Path, state: CommitState, path: str, target: Path) -> None:
    """Copy an output as it was in a state out of DVC's cache; what the cache lacks is fetched from the remote.

    Raises:
        UserError: If the state has no such output, its bytes are not to be had, or they are other bytes.
    """
    md5 = state.outputs.get(path)
    if md5 is None:
        raise UserError(
            f"{DVC_LOCK} in {state.commit[:12]}", "names no such output", expected=path, do="name another commit"
        )
    kept = dvc_cache(root)
    if not in_cache(kept, md5):
        fetch_output(root, state.commit, path)
    if not in_cache(kept, md5):
        raise UserError(
            f"{path} of {state.commit[:12]}",
            "is neither in DVC's cache nor in its remote",
            expected=str(cache_path(kept, md5)),
            do="bring the object back from a backup, or name another commit",
        )
    if md5.endswith(".dir"):
        for name, member in folder_members(kept, md5).items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(cache_path(kept, member), target / name)
    else:
        shutil.copyfile(cache_path(kept, md5), target)
    if dvc_md5(target) != md5:
        raise UserError(
            str(cache_path(kept, md5)),
            "not the bytes that dvc.lock names",
            expected=md5,
            got=dvc_md5(target),
            do="remove the object and bring it back with `dvc fetch`",
        )


def restore_predictions(root: Path) -> None:
    """Bring back the answers of the last evaluation if they are not here: what it tested must be known.

    Raises:
        UserError: If they are not to be had.
    """
    restore_last(root, PREDICTIONS_PATH, "evaluate", "what the last model was tested on cannot be kept from training")


def restore_release(root: Path) -> None:
    """Bring back the last release and the rows that decided about it, if they are not here: they are to be counted.

    Raises:
        UserError: If they are not to be had.
    """
    for path in (RELEASE_PATH, HOLDOUT_USES_PATH):
        restore_last(root, path, "register", "how often the test rows decided cannot be counted")


def restore_last(root: Path, path: str, stage: str, otherwise: str) -> None:
    """Bring back what a stage left last, if it is not here.

    Raises:
        UserError: If it is not to be had; with what cannot be done then.
    """
    if path not in read_lock_state(root, "HEAD").outputs or (root / path).exists():
        return
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    try:
        restore_output(root, read_lock_state(root, "HEAD"), path, root / path)
    except UserError as problem:
        raise UserError(
            path,
            f"is not here, so {otherwise}",
            got=str(problem),
            do=f"`dvc pull` it; or begin anew: take `{stage}` out of dvc.lock",
        ) from problem


def in_cache(cache_folder: Path, md5: str) -> bool:
    """Say whether DVC's cache has an object, with all files if it is a folder."""
    if not cache_path(cache_folder, md5).exists():
        return False
    files = folder_members(cache_folder, md5).values() if md5.endswith(".dir") else []
    return all(cache_path(cache_folder, member).exists() for member in files)


def fetch_output(root: Path, commit: str, path: str) -> None:
    """Let DVC fetch an output of a past commit into this checkout's cache, if a remote is set."""
    if default_remote(root) is None:
        return
    try:
        with in_worktree(root, commit) as tree:
            run_dvc(tree, "fetch", path)
    except UserError as problem:
        raise UserError(f"{path} of {commit[:12]}", f"could not be fetched: {problem}") from problem


@contextmanager
def in_worktree(root: Path, commit: str) -> Iterator[Path]:
    """Lay a commit out beside this checkout, with its cache and settings: DVC asks the lock file that lies there."""
    with tempfile.TemporaryDirectory(prefix="past-", dir=state_dir(root)) as scratch:
        name = f"{Path(scratch).name}/tree"
        try:
            yield add_worktree(root, commit, name)
        finally:
            remove_worktree(root, name)
