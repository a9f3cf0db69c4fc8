"""Report of a bisect: each evaluated commit, the culprit, and what it changed."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.bisect.cache import Measurement
from flows.bisect.evaluate_commit import MeasuredBy
from flows.bisect.inputs import input_changes
from flows.bisect.steps import CommitStep
from flows.review.data_diff import change_lines, run_data_diff
from flows.vcs.git import run_git
from flows.vcs.states import PAIRS_PATH, CommitState, restore_output
from pipeline.errors import UserError

SUBJECT_CHARS = 40


@dataclass(frozen=True)
class BisectResult:
    """Where good turned to bad.

    Args:
        steps: From the last that is good to the first that is bad; those between cannot be evaluated.
        last_good: The number of the first of them.
        first_bad: The number of the last of them.
    """

    steps: Sequence[CommitStep]
    last_good: Measurement
    first_bad: Measurement


def evaluation_summary(root: Path, commit: str, *words: str) -> str:
    """Say of a commit what came of its evaluation."""
    subject = run_git(root, "log", "-1", "--format=%s", commit)
    cut = subject if len(subject) <= SUBJECT_CHARS else f"{subject[: SUBJECT_CHARS - 3]}..."
    return f"  {commit[:12]}  {cut:<{SUBJECT_CHARS}}  {'  '.join(words)}"


def bisect_report(root: Path, answer: BisectResult, metric: str, limit: float) -> Iterator[str]:
    """Say which commit it is, or which few it may be, and what changed there."""
    last_good, *suspects = answer.steps
    if len(suspects) == 1:
        yield f"first bad commit: {suspects[0].commit}"
    else:
        yield f"the first bad commit is one of {len(suspects)}, since all but the last cannot be evaluated:"
    for step in suspects:
        yield from describe_commit(root, step.commit)
    then, now = (
        f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f}, n={one.n})" for one in (answer.last_good, answer.first_bad)
    )
    yield f"  {metric} {then} before, {now} there; bad is below {limit:.4f}"
    if answer.last_good.tests != answer.first_bad.tests:
        yield f"  the test rows are not the same: {answer.last_good.rows:,} before, {answer.first_bad.rows:,} there"
    yield from (f"  {change}" for change in input_changes(last_good.inputs, suspects[-1].inputs))
    yield from (f"  {change}" for change in changed_pairs_lines(root, answer))


def describe_commit(root: Path, commit: str) -> Iterator[str]:
    """Say who made a commit, when, and with what words."""
    description = run_git(root, "log", "-1", "--date=iso", "--format=%h  %an <%ae>, %ad%n%s", commit)
    yield from (f"  {line}" for line in description.split("\n"))


def changed_pairs_lines(root: Path, answer: BisectResult) -> Iterator[str]:
    """Say row by row how the pairs changed; nothing if they are the same."""
    then, now = (
        CommitState(step.commit, dict(measured.outputs), {})
        for step, measured in ((answer.steps[0], answer.last_good), (answer.steps[-1], answer.first_bad))
    )
    if then.outputs.get(PAIRS_PATH) == now.outputs.get(PAIRS_PATH):
        return
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        try:
            restore_output(root, now, PAIRS_PATH, Path(scratch) / "new.parquet")
            yield from change_lines(run_data_diff(root, then, Path(scratch) / "new.parquet", Path(scratch)))
        except UserError as problem:
            yield f"rows      cannot be compared: {problem}"


def evaluation_count(ways: Mapping[MeasuredBy, int]) -> str:
    """Say how many numbers it took, and how they were come by."""
    kinds = {"evaluations": {"ran", "restored"}, "read": {"recorded", "remembered"}}
    counts = []
    for word, kind in kinds.items():
        of = {how: times for how, times in sorted(ways.items()) if how in kind}
        phrase = ", ".join(f"{times} {how}" for how, times in of.items())
        counts.append(f"{word}: {sum(of.values())}{f' ({phrase})' if phrase else ''}")
    return "; ".join(counts)
