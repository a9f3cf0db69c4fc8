"""Runs a bisect: finds the commit between two that made a metric worse."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from flows.bisect.cache import Measurement
from flows.bisect.evaluate_commit import MeasuredBy, UnmeasurableError, evaluate_step, remembered_metric
from flows.bisect.report import BisectResult, bisect_report, evaluation_count, evaluation_summary
from flows.bisect.search import search_steps
from flows.bisect.steps import CommitStep, steps_between
from flows.vcs.output_filter import PrintLine
from flows.vcs.recovery import locked_and_recovered
from pipeline.errors import UserError


@dataclass
class BisectSession:
    """A bisect on its way: what is known of each step so far.

    Args:
        root: The checkout.
        metric: The name of the number.
        steps: From the one that is taken for good to the one that is taken for bad.
        print_line: Takes each line about the progress.
        threshold: What is below it is bad; None until it is known.
        measurements: The number of each step that was evaluated.
        failures: Why a step cannot be evaluated.
        measured_by_counts: How many numbers were come by in which way.
    """

    root: Path
    metric: str
    steps: list[CommitStep]
    print_line: PrintLine
    threshold: float | None
    measurements: dict[int, Measurement] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    measured_by_counts: Counter[MeasuredBy] = field(default_factory=Counter)

    @property
    def first_and_last(self) -> tuple[int, int]:
        """The first step and the last."""
        return 0, len(self.steps) - 1

    @property
    def known_steps(self) -> set[int]:
        """The steps whose number is read, not made."""
        return {
            index
            for index, step in enumerate(self.steps)
            if step.recorded_states or remembered_metric(self.root, step, self.metric) is not None
        }

    def evaluate(self, index: int) -> Measurement:
        """Evaluate a step, once, and say what came of it.

        Raises:
            UserError: If it cannot be evaluated.
        """
        if index not in self.measurements:
            measured, how = evaluate_step(self.root, self.steps[index], self.metric)
            self.measurements[index] = measured
            self.measured_by_counts[how] += 1
            number = f"{self.metric} {measured.value:.4f} (n={measured.n})"
            self.print_line(
                evaluation_summary(self.root, self.steps[index].commit, number, self.good_or_bad(index), how)
            )
        return self.measurements[index]

    def good_or_bad(self, index: int) -> str:
        """Say good or bad; as it was asked, until the limit is known."""
        if self.threshold is None:
            return "good" if index == 0 else "bad"
        return "bad" if self.measurements[index].value < self.threshold else "good"

    def is_bad(self, index: int) -> bool | None:
        """Say whether a step is bad; None if it cannot be evaluated.

        Raises:
            UnmeasurableError: If no step has had such a number yet: then the name is wrong, not the commit.
        """
        try:
            self.evaluate(index)
        except UserError as problem:
            if isinstance(problem, UnmeasurableError) and not self.measurements:
                raise
            self.failures[index] = str(problem)
            self.print_line(
                evaluation_summary(self.root, self.steps[index].commit, "cannot be evaluated", str(problem))
            )
            return None
        return self.good_or_bad(index) == "bad"

    def check_endpoint(self, index: int) -> Measurement:
        """Evaluate the first or the last step.

        Raises:
            UserError: If it cannot be evaluated, or is not what it was taken for.
        """
        asked = "good" if index == 0 else "bad"
        try:
            measured = self.evaluate(index)
        except UnmeasurableError:
            raise
        except UserError as problem:
            where, do = self.steps[index].commit[:12], f"name another commit that is {asked}"
            raise UserError(where, f"cannot be evaluated: {problem}", do=do) from problem
        if self.good_or_bad(index) != asked:
            raise UserError(
                self.steps[index].commit[:12],
                f"is not {asked}",
                expected=f"{self.metric} {'not ' if index == 0 else ''}below the limit of {self.threshold:g}",
                got=f"{measured.value:.4f}",
                do=f"name another limit, or another commit that is {asked}",
            )
        return measured


def run_bisect(root: Path, good: str, bad: str, metric: str, limit: float | None, say: PrintLine) -> None:
    """Find the commit between good and bad that made a number of the model worse, and say what it changed.

    An end is evaluated only where the answer needs it: to set the limit, or beside the commit that is found.

    Args:
        root: The checkout, which stays as it is.
        good: A commit where the number is good.
        bad: A later one on its line, where it is bad.
        metric: The name of the number (see `pipeline.metric_lookup`).
        limit: What is below it is bad; halfway between good and bad if None.
        say: Takes each line.

    Raises:
        UserError: If that is no question that has an answer.
    """
    with locked_and_recovered(root, "tunesmith bisect"):
        steps, commits = steps_between(root, good, bad)
        if limit is not None and not math.isfinite(limit):
            raise UserError("--threshold", "is no number that a metric can have", got=f"{limit:g}", do="name one")
        session = BisectSession(root, metric, steps, say, limit)
        say(
            f"commits that change what the model depends on: {len(steps) - 1} of {commits}; "
            f"evaluations: {max_evaluations(session)}"
        )
        limit = set_threshold(session)
        before, after = search_steps(len(steps), session.is_bad, session.known_steps)
        for index in session.first_and_last:
            if index in (before, after):
                session.check_endpoint(index)
        answer = BisectResult(steps[before : after + 1], session.measurements[before], session.measurements[after])
        for line in bisect_report(root, answer, metric, limit):
            say(line)
        say(evaluation_count(session.measured_by_counts))


def max_evaluations(session: BisectSession) -> str:
    """Say how many evaluations are ahead at most; more, if there are commits that cannot be evaluated."""
    ends = len(set(session.first_and_last) - session.known_steps)
    wanted = ends if session.threshold is None or len(session.steps) == 2 else min(ends, 1)
    return f"at most {math.ceil(math.log2(len(session.steps) - 1)) + wanted}"


def set_threshold(session: BisectSession) -> float:
    """Set the limit halfway between the ends, unless it is given; then look at those ends that cost nothing.

    Raises:
        UserError: If an end cannot be evaluated, or good is not better than bad.
    """
    if session.threshold is not None:
        for index in sorted(session.known_steps & set(session.first_and_last)):
            session.check_endpoint(index)
        return session.threshold
    good, bad = (session.check_endpoint(index).value for index in session.first_and_last)
    if good <= bad:
        raise not_better_error(session.metric, good, bad)
    session.threshold = (good + bad) / 2
    return session.threshold


def not_better_error(metric: str, good: float, bad: float) -> UserError:
    """Say that the good end is not better than the bad one."""
    return UserError(
        metric,
        "good is not better than bad",
        expected="a number that is higher at good",
        got=f"{good:.4f} at good, {bad:.4f} at bad",
        do="name other commits, or another metric",
    )
