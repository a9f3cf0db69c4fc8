"""A run put where others find it: its data in DVC's remote, each object looked up there, and its state in git's."""

import os
from pathlib import Path

from flows.vcs.dvc import run_dvc
from flows.vcs.git import NO_HOOKS, run_git
from flows.vcs.snapshot import RUN_REFS, WRITTEN_BY_RUNS
from flows.vcs.worktree import add_worktree, data_status, default_remote, remove_worktree
from pipeline.errors import UserError

UPLOAD_WORKTREE = "upload"


def push_data(root: Path, commit: str) -> str:
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
        tree = add_worktree(root, commit, UPLOAD_WORKTREE)
        run_dvc(tree, "push")
        missing = data_status(tree, "--not-in-remote").get("not_in_remote", [])
    except UserError as problem:
        return f"not pushed: {problem}"
    finally:
        remove_worktree(root, UPLOAD_WORKTREE)
    return f"missing {len(missing)}: {', '.join(missing)}" if missing else "complete"


def push_state(root: Path, run: str) -> str:
    """Push the state of a run to git's remote, where its data go to DVC's: without it nobody else can make it again.

    No branch is touched. A remote that does not answer, or asks for a password, is told, not raised. A state with files
    that nobody has given to git is not pushed: there may be a secret among them.

    Returns:
        `none` without a remote of DVC or a state beside the commit, `pushed to NAME`, or `not pushed: REASON`.
    """
    ref = f"{RUN_REFS}/{run}"
    if default_remote(root) is None or not run_git(root, "for-each-ref", ref):
        return "none"
    remote, unknown = git_remote(root), untracked_in_state(root, ref)
    if remote is None:
        return "not pushed: git has no remote, or several and none that is called origin"
    if unknown:
        return f"not pushed: holds files that git does not track: {', '.join(unknown)}; add or ignore them"
    try:
        ask_remote(root, "push", "--quiet", remote, ref)
    except UserError as problem:
        return f"not pushed: {problem}"
    return f"pushed to {remote}"


def untracked_in_state(root: Path, ref: str) -> list[str]:
    """List the files of a state that are in no commit of the user's, but for those that a run writes itself."""
    names = run_git(root, "diff-tree", "-r", "-z", "--name-only", "--diff-filter=A", f"{ref}^", ref).split("\0")
    return [name for name in names if name and not name.startswith(WRITTEN_BY_RUNS)]


def fetch_states(root: Path) -> str:
    """Fetch the states of all runs that were pushed to git's remote; say why if that cannot be done."""
    remote = git_remote(root)
    if remote is None:
        return ""
    try:
        ask_remote(root, "fetch", "--quiet", remote, f"{RUN_REFS}/*:{RUN_REFS}/*")
    except UserError as problem:
        return f"states of runs are not fetched: {problem}"
    return ""


def ask_remote(root: Path, *words: str) -> None:
    """Let git talk to a remote, without asking anybody for anything, and without the user's hooks.

    Raises:
        UserError: With git's own words, if it fails.
    """
    own = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")}
    if "GIT_SSH" in os.environ:
        del own["GIT_SSH_COMMAND"]  # which would go before it
    run_git(root, "-c", NO_HOOKS, *words, **own)


def git_remote(root: Path) -> str | None:
    """Name git's remote: `origin`, or the only one there is."""
    names = run_git(root, "remote").split()
    return "origin" if "origin" in names else names[0] if len(names) == 1 else None
