"""Which state of the past made the weights of a champion, also in a clone that has only what people committed."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.paths import PROMOTIONS
from flows.vcs.git import git
from flows.vcs.states import RELEASE, Past, bring_back, past, states
from pipeline.errors import Problem
from pipeline.files import read_json


def made(root: Path, digest: str, named: str | None) -> Past:
    """Find the state that made the weights of a champion: by the commit that its move names, else by its release.

    A plain clone lacks the states of runs. Then what people committed are the states: first the commits that put the
    move on record, then all that changed dvc.lock. The weights are named in a release by SHA-256 and in dvc.lock by
    MD5, so each release has to be read.

    Args:
        root: The checkout.
        digest: SHA-256 of the weights.
        named: The commit of the state, as far as it is known.

    Raises:
        Problem: If no state that is here made them.
    """
    if named is not None and holds(root, named) and (state := past(root, named)):
        return state
    others, unread = 0, []
    for state in releases(root, digest):
        try:
            if released(root, state)["digests"]["adapter"] == digest:
                return state
            others += 1
        except Problem as problem:
            unread.append(f"; {problem}")
    raise Problem(
        f"champion {digest[:12]}",
        "the state that made it is not in this clone",
        expected=f"{f'commit {named}' if named else 'a commit'}, or one whose dvc.lock holds its release",
        got=f"{others} other releases, {len(unread)} that cannot be read{unread[0] if unread else ''}",
        do="fetch it: `git fetch REMOTE 'refs/tunesmith/*:refs/tunesmith/*'`",
    )


def releases(root: Path, digest: str) -> Iterator[Past]:
    """Go through the states that have a release, each release once, those first that put these weights on record."""
    recorded = git(root, "log", "--reverse", "--format=%H", f"-S{digest}", "--", PROMOTIONS).split()
    seen = set()
    for state in (*filter(None, (past(root, commit) for commit in recorded)), *states(root)):
        release = state.outputs.get(RELEASE)
        if release is not None and release not in seen:
            seen.add(release)
            yield state


def holds(root: Path, commit: str) -> bool:
    """Say whether this repository has a commit."""
    try:
        git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except Problem:
        return False
    return True


def released(root: Path, state: Past) -> dict[str, Any]:
    """Read the release of a state.

    Raises:
        Problem: If it has none, or its bytes are not to be had.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        bring_back(root, state, RELEASE, Path(place) / "release.json")
        release: dict[str, Any] = read_json(Path(place) / "release.json")
    return release
