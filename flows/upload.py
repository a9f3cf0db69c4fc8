"""The data of a run in DVC's remote, each object looked up there afterwards."""

from pathlib import Path

from flows.repro import dvc
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
