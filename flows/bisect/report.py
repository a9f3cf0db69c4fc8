"""What a bisect says: each commit that it looks at, and in the end the one that it found, and what that changed."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.bisect.cache import Measured
from flows.bisect.evaluate_commit import How
from flows.bisect.inputs import changes
from flows.bisect.steps import Step
from flows.review.data_diff import found, row_lines
from flows.vcs.git import git
from flows.vcs.states import PAIRS, Past, bring_back
from pipeline.errors import Problem

SUBJECT = 40


@dataclass(frozen=True)
class Answer:
    """Where good turned to bad.

    Args:
        steps: From the last that is good to the first that is bad; those between cannot be evaluated.
        before: The number of the first of them.
        after: The number of the last of them.
    """

    steps: Sequence[Step]
    before: Measured
    after: Measured


def tried(root: Path, commit: str, *words: str) -> str:
    """Say of a commit what came of its evaluation."""
    subject = git(root, "log", "-1", "--format=%s", commit)
    cut = subject if len(subject) <= SUBJECT else f"{subject[: SUBJECT - 3]}..."
    return f"  {commit[:12]}  {cut:<{SUBJECT}}  {'  '.join(words)}"


def report(root: Path, answer: Answer, metric: str, limit: float) -> Iterator[str]:
    """Say which commit it is, or which few it may be, and what changed there."""
    last_good, *suspects = answer.steps
    if len(suspects) == 1:
        yield f"first bad commit: {suspects[0].commit}"
    else:
        yield f"the first bad commit is one of {len(suspects)}, since all but the last cannot be evaluated:"
    for step in suspects:
        yield from described(root, step.commit)
    then, now = (
        f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f}, n={one.n})" for one in (answer.before, answer.after)
    )
    yield f"  {metric} {then} before, {now} there; bad is below {limit:.4f}"
    if answer.before.tests != answer.after.tests:
        yield f"  the test rows are not the same: {answer.before.rows:,} before, {answer.after.rows:,} there"
    yield from (f"  {told}" for told in changes(last_good.inputs, suspects[-1].inputs))
    yield from (f"  {told}" for told in rows_changed(root, answer))


def described(root: Path, commit: str) -> Iterator[str]:
    """Say who made a commit, when, and with what words."""
    told = git(root, "log", "-1", "--date=iso", "--format=%h  %an <%ae>, %ad%n%s", commit)
    yield from (f"  {line}" for line in told.split("\n"))


def rows_changed(root: Path, answer: Answer) -> Iterator[str]:
    """Say row by row how the pairs changed; nothing if they are the same."""
    then, now = (
        Past(step.commit, dict(measured.outputs), {})
        for step, measured in ((answer.steps[0], answer.before), (answer.steps[-1], answer.after))
    )
    if then.outputs.get(PAIRS) == now.outputs.get(PAIRS):
        return
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        try:
            bring_back(root, now, PAIRS, Path(place) / "new.parquet")
            yield from row_lines(found(root, then, Path(place) / "new.parquet", Path(place)))
        except Problem as problem:
            yield f"rows      cannot be compared: {problem}"


def total(ways: Mapping[How, int]) -> str:
    """Say how many numbers it took, and how they were come by."""
    kinds = {"evaluations": {"ran", "restored"}, "read": {"recorded", "remembered"}}
    found = []
    for word, kind in kinds.items():
        of = {how: times for how, times in sorted(ways.items()) if how in kind}
        told = ", ".join(f"{times} {how}" for how, times in of.items())
        found.append(f"{word}: {sum(of.values())}{f' ({told})' if told else ''}")
    return "; ".join(found)
