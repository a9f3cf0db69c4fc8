"""Git, as a process."""

import os
import subprocess
from pathlib import Path

from pipeline.errors import UserError

SNAPSHOT_AUTHOR = {
    "GIT_AUTHOR_NAME": "tunesmith",
    "GIT_AUTHOR_EMAIL": "tunesmith@localhost",
    "GIT_COMMITTER_NAME": "tunesmith",
    "GIT_COMMITTER_EMAIL": "tunesmith@localhost",
}

NO_HOOKS = f"core.hooksPath={os.devnull}"
"""A setting for git: what people hook to their own commits and branches is not meant for ours."""


def run_git(root: Path, *arguments: str, **more: str) -> str:
    """Run git and return what it prints.

    Raises:
        UserError: With git's own words, if it fails.
    """
    process = subprocess.run(
        ["git", *arguments], cwd=root, env={**os.environ, **more}, check=False, capture_output=True,
        encoding="utf-8", errors="surrogateescape",  # names of files are bytes
    )  # fmt: skip
    if process.returncode:
        verb = next(word for word in arguments if word != "-c" and "=" not in word)
        raise UserError(f"git {verb}", process.stderr.strip() or "failed without a word")
    return process.stdout.rstrip("\n")


def head_commit(root: Path) -> str:
    """The commit that is checked out.

    Raises:
        UserError: If there is none: every run is kept as a state of a repository.
    """
    try:
        return run_git(root, "rev-parse", "--verify", "HEAD^{commit}")
    except UserError as problem:
        raise UserError(
            str(root), "has no git commit", do="`git init` and make a first commit; each run is kept as one"
        ) from problem
