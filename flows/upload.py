"""A run put where others find it: its data in DVC's remote, each object looked up there, and its state in git's."""

from pathlib import Path

from flows.repro import dvc
from flows.snapshot import REFS, git
from flows.worktree import add_worktree, data_status, default_remote, remove_worktree
from pipeline.problem import Problem

TREE = "upload"


def upload(root: Path, commit: str) -> str:
    """Push all data of a state to the remote; say whether it is complete there.

    A remote that does not answer is told, not raised: the run is made and kept all the same.

    Args:
        root: The checkout.
        commit: The state; its files say what its data are, the champion that it met among them.

    Returns:
        `none` without a remote, `complete`, `missing N: PATHS`, or `not pushed: REASON`.
    """
    if default_remote(root) is None:
        return "none"
    try:
        tree = add_worktree(root, commit, TREE)
        dvc(tree, "push")
        missing = data_status(tree, "--not-in-remote").get("not_in_remote", [])
    except Problem as problem:
        return f"not pushed: {problem}"
    finally:
        remove_worktree(root, TREE)
    return f"missing {len(missing)}: {', '.join(missing)}" if missing else "complete"


def push_state(root: Path, run: str) -> str:
    """Push the state of a run to git's remote, where its data go to DVC's: without it nobody else can make it again.

    No branch is touched. A remote that does not answer, or asks for a password, is told, not raised.

    Returns:
        `none` without both remotes or without a state beside the commit, `pushed to NAME`, or `not pushed: REASON`.
    """
    remote, ref = git_remote(root), f"{REFS}/{run}"
    if remote is None or default_remote(root) is None or not git(root, "for-each-ref", ref):
        return "none"
    try:
        git(root, "push", "--quiet", remote, ref, GIT_TERMINAL_PROMPT="0")
    except Problem as problem:
        return f"not pushed: {problem}"
    return f"pushed to {remote}"


def fetch_states(root: Path) -> None:
    """Fetch the states of all runs that were pushed to git's remote, if there is one.

    Raises:
        Problem: If it does not answer.
    """
    remote = git_remote(root)
    if remote is not None:
        git(root, "fetch", "--quiet", remote, f"{REFS}/*:{REFS}/*", GIT_TERMINAL_PROMPT="0")


def git_remote(root: Path) -> str | None:
    """Name git's remote: `origin`, or the only one there is."""
    names = git(root, "remote").split()
    return "origin" if "origin" in names else names[0] if len(names) == 1 else None
