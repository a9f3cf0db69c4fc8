"""What a reviewer judges a change by, brought together: release, accepted tokens and pairs, at a commit and now."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from flows.champion.origin import released
from flows.review.data_diff import base, compare
from flows.review.pr_comment import Side, comment
from flows.vcs.dvc import stages, status
from flows.vcs.git import git
from flows.vcs.states import RELEASE, commit_of, past
from pipeline.errors import Problem
from pipeline.files import read_json
from pipeline.params import load_params

GOLDEN = "data/golden_tokens.jsonl"
KEYS = {"id", "kind", "messages", "completion", "ids", "tokens", "spans"}
"""Of a pair of the contract; its first line holds the terms."""

T = TypeVar("T")


def review(root: Path, revision: str | None = None) -> str:
    """Write the comment on what changed since a state of the past; what of it is not to be had is said there.

    Args:
        root: The checkout.
        revision: The commit, tag or run; else what the champion was made from, or the last state there is.

    Raises:
        Problem: If there is no such commit, or none is named and there is nothing to compare with.
    """
    commit, name = compared_with(root, revision)
    called = commit[:12] if commit.startswith(name) else f"{name} ({commit[:12]})"
    before = Side(called, known(lambda: release_of(root, commit)), known(lambda: golden_of(root, commit)))
    after = Side("now", known(lambda: release_of_now(root)), known(lambda: golden_of_now(root)))
    return comment(before, after, known(lambda: compare(root, revision)[1]))


def known(find: Callable[[], T]) -> T | Problem:
    """Give what is found, or why it cannot be."""
    try:
        return find()
    except Problem as problem:
        return problem


def compared_with(root: Path, revision: str | None) -> tuple[str, str]:
    """Find the commit to compare with, and what to call it."""
    if revision is not None:
        return commit_of(root, revision), revision
    against = base(root, load_params(root / "params.yaml").register.name)
    if against is None:
        raise Problem("the project", "there is no run of before to compare with", do="`tunesmith run` makes the first")
    return against.state.commit, against.whose


def release_of(root: Path, commit: str) -> Mapping[str, Any]:
    """Bring back the release of a commit."""
    state = past(root, commit)
    if state is None:
        raise Problem(f"commit {commit[:12]}", "has no dvc.lock, so it names no release", do="commit it after a run")
    return released(root, state)


def release_of_now(root: Path) -> Mapping[str, Any]:
    """Read the release that is here, if it is of the data, code and params that are here."""
    changed = status(root)
    stale = [stage for stage in stages(root) if stage in changed]
    if stale or not (root / RELEASE).exists():
        raise Problem(
            RELEASE,
            "is not made of what is here now",
            got=f"stale: {', '.join(stale)}" if stale else "no such file",
            do="`tunesmith run` makes it",
        )
    found: dict[str, Any] = read_json(root / RELEASE)
    return found


def golden_of(root: Path, commit: str) -> Sequence[Mapping[str, Any]]:
    """Read the accepted tokens of a commit."""
    if not git(root, "ls-tree", "--name-only", commit, GOLDEN):
        raise Problem(f"commit {commit[:12]}", f"has no {GOLDEN}")
    return lines_of(git(root, "show", f"{commit}:{GOLDEN}"), f"{GOLDEN} of {commit[:12]}")


def golden_of_now(root: Path) -> Sequence[Mapping[str, Any]]:
    """Read the accepted tokens that are here."""
    if not (root / GOLDEN).exists():
        raise Problem(GOLDEN, "no such file", do=f"`git checkout {GOLDEN}` brings it back")
    return lines_of((root / GOLDEN).read_text(encoding="utf-8"), GOLDEN)


def lines_of(text: str, where: str) -> Sequence[Mapping[str, Any]]:
    """Read lines of JSON; a text may hold ends of lines that only Unicode knows."""
    try:
        found = [json.loads(line) for line in text.removesuffix("\n").split("\n") if line]
    except ValueError as error:
        raise Problem(where, f"is not what `tunesmith accept-contract` writes: {error}") from error
    if not all(isinstance(row, dict) for row in found) or not all(map(is_pair, found[1:])):
        raise Problem(where, "is not what `tunesmith accept-contract` writes", expected=", ".join(sorted(KEYS)))
    return found


def is_pair(row: Mapping[str, Any]) -> bool:
    """Say whether a line has all that is told of a pair; it may come with somebody's pull request."""
    return (
        row.keys() >= KEYS
        and all(isinstance(row[name], list) for name in ("messages", "ids", "tokens"))
        and all(isinstance(message, dict) and "content" in message for message in row["messages"])
        and len(row["ids"]) == len(row["tokens"])
    )
