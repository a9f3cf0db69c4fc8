"""Finds the state that made a champion's weights, also in a clone without the states of runs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.paths import PROMOTIONS
from flows.vcs.git import run_git
from flows.vcs.states import RELEASE_PATH, CommitState, iterate_states, restore_output, state_at
from pipeline.errors import UserError
from pipeline.files import read_json


def origin_state(root: Path, digest: str, named: str | None) -> CommitState:
    """Find the state that made the weights of a champion: by the commit that its move names, else by its release.

    A plain clone lacks the states of runs. Then what people committed are the states: first the commits that put the
    move on record, then all that changed dvc.lock. The weights are named in a release by SHA-256 and in dvc.lock by
    MD5, so each release has to be read.

    Args:
        root: The checkout.
        digest: SHA-256 of the weights.
        named: The commit of the state, as far as it is known.

    Raises:
        UserError: If no state that is here made them.
    """
    if named is not None and has_commit(root, named) and (state := state_at(root, named)):
        return state
    others, unread = 0, []
    for state in iterate_releases(root, digest):
        try:
            if read_state_release(root, state)["digests"]["adapter"] == digest:
                return state
            others += 1
        except UserError as problem:
            unread.append(f"; {problem}")
    raise UserError(
        f"champion {digest[:12]}",
        "the state that made it is not in this clone",
        expected=f"{f'commit {named}' if named else 'a commit'}, or one whose dvc.lock holds its release",
        got=f"{others} other releases, {len(unread)} that cannot be read{unread[0] if unread else ''}",
        do="fetch it: `git fetch REMOTE 'refs/tunesmith/*:refs/tunesmith/*'`",
    )


def iterate_releases(root: Path, digest: str) -> Iterator[CommitState]:
    """Go through the states that have a release, each release once, those first that put these weights on record."""
    recorded = run_git(root, "log", "--reverse", "--format=%H", f"-S{digest}", "--", PROMOTIONS).split()
    seen = set()
    for state in (*filter(None, (state_at(root, commit) for commit in recorded)), *iterate_states(root)):
        release = state.outputs.get(RELEASE_PATH)
        if release is not None and release not in seen:
            seen.add(release)
            yield state


def has_commit(root: Path, commit: str) -> bool:
    """Say whether this repository has a commit."""
    try:
        run_git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except UserError:
        return False
    return True


def read_state_release(root: Path, state: CommitState) -> dict[str, Any]:
    """Read the release of a state.

    Raises:
        UserError: If it has none, or its bytes are not to be had.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        restore_output(root, state, RELEASE_PATH, Path(scratch) / "release.json")
        release: dict[str, Any] = read_json(Path(scratch) / "release.json")
    return release
