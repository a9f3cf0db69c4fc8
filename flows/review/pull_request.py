"""What a reviewer judges a change by, brought together: release, accepted tokens and pairs, at a commit and now."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from flows.champion.origin import read_state_release
from flows.review.data_diff import compare_pairs, find_diff_base
from flows.review.pr_comment import ProjectSide, write_comment
from flows.vcs.dvc import stage_names, stale_stages
from flows.vcs.git import run_git
from flows.vcs.states import RELEASE_PATH, resolve_commit, state_at
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.params import load_params

GOLDEN_PATH = "data/golden_tokens.jsonl"
GOLDEN_KEYS = {"id", "kind", "messages", "completion", "ids", "tokens", "spans"}
"""Of a pair of the contract; its first line holds the terms."""

T = TypeVar("T")


def review_changes(root: Path, revision: str | None = None) -> str:
    """Write the comment on what changed since a state of the past; what of it is not to be had is said there.

    Args:
        root: The checkout.
        revision: The commit, tag or run; else what the champion was made from, or the last state there is.

    Raises:
        UserError: If there is no such commit, or none is named and there is nothing to compare with.
    """
    commit, name = review_base(root, revision)
    called = commit[:12] if commit.startswith(name) else f"{name} ({commit[:12]})"
    before = ProjectSide(
        called, known_or_why(lambda: release_at(root, commit)), known_or_why(lambda: golden_at(root, commit))
    )
    after = ProjectSide("now", known_or_why(lambda: current_release(root)), known_or_why(lambda: current_golden(root)))
    return write_comment(before, after, known_or_why(lambda: compare_pairs(root, revision)[1]))


def known_or_why(find: Callable[[], T]) -> T | UserError:
    """Give what is found, or why it cannot be."""
    try:
        return find()
    except UserError as problem:
        return problem


def review_base(root: Path, revision: str | None) -> tuple[str, str]:
    """Find the commit to compare with, and what to call it."""
    if revision is not None:
        return resolve_commit(root, revision), revision
    against = find_diff_base(root, load_params(root / "params.yaml").register.name)
    if against is None:
        raise UserError(
            "the project", "there is no run of before to compare with", do="`tunesmith run` makes the first"
        )
    return against.state.commit, against.label


def release_at(root: Path, commit: str) -> Mapping[str, Any]:
    """Bring back the release of a commit."""
    state = state_at(root, commit)
    if state is None:
        raise UserError(f"commit {commit[:12]}", "has no dvc.lock, so it names no release", do="commit it after a run")
    return read_state_release(root, state)


def current_release(root: Path) -> Mapping[str, Any]:
    """Read the release that is here, if it is of the data, code and params that are here."""
    changed = stale_stages(root)
    stale = [stage for stage in stage_names(root) if stage in changed]
    if stale or not (root / RELEASE_PATH).exists():
        raise UserError(
            RELEASE_PATH,
            "is not made of what is here now",
            got=f"stale: {', '.join(stale)}" if stale else "no such file",
            do="`tunesmith run` makes it",
        )
    release: dict[str, Any] = read_json(root / RELEASE_PATH)
    return release


def golden_at(root: Path, commit: str) -> Sequence[Mapping[str, Any]]:
    """Read the accepted tokens of a commit."""
    if not run_git(root, "ls-tree", "--name-only", commit, GOLDEN_PATH):
        raise UserError(f"commit {commit[:12]}", f"has no {GOLDEN_PATH}")
    return parse_json_lines(run_git(root, "show", f"{commit}:{GOLDEN_PATH}"), f"{GOLDEN_PATH} of {commit[:12]}")


def current_golden(root: Path) -> Sequence[Mapping[str, Any]]:
    """Read the accepted tokens that are here."""
    if not (root / GOLDEN_PATH).exists():
        raise UserError(GOLDEN_PATH, "no such file", do=f"`git checkout {GOLDEN_PATH}` brings it back")
    return parse_json_lines((root / GOLDEN_PATH).read_text(encoding="utf-8"), GOLDEN_PATH)


def parse_json_lines(text: str, where: str) -> Sequence[Mapping[str, Any]]:
    """Read lines of JSON; a text may hold ends of lines that only Unicode knows."""
    try:
        values = [json.loads(line) for line in text.removesuffix("\n").split("\n") if line]
    except ValueError as error:
        raise UserError(where, f"is not what `tunesmith accept-tokens` writes: {error}") from error
    if not all(isinstance(row, dict) for row in values) or not all(map(is_golden_pair, values[1:])):
        raise UserError(where, "is not what `tunesmith accept-tokens` writes", expected=", ".join(sorted(GOLDEN_KEYS)))
    return values


def is_golden_pair(row: Mapping[str, Any]) -> bool:
    """Say whether a line has all that is told of a pair; it may come with somebody's pull request."""
    return (
        row.keys() >= GOLDEN_KEYS
        and all(isinstance(row[name], list) for name in ("messages", "ids", "tokens"))
        and all(isinstance(message, dict) and "content" in message for message in row["messages"])
        and len(row["ids"]) == len(row["tokens"])
    )
