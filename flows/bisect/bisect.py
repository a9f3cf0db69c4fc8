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
        say: Takes each line about the progress.
        limit: What is below it is bad; None until it is known.
        found: The number of each step that was evaluated.
        failed: Why a step cannot be evaluated.
        ways: How many numbers were come by in which way.
    """

    root: Path
    metric: str
    steps: list[CommitStep]
    say: PrintLine
    limit: float | None
    found: dict[int, Measurement] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    ways: Counter[MeasuredBy] = field(default_factory=Counter)

    @property
    def ends(self) -> tuple[int, int]:
        """The first step and the last."""
        return 0, len(self.steps) - 1

    @property
    def cheap(self) -> set[int]:
        """The steps whose number is read, not made."""
        return {
            place
            for place, step in enumerate(self.steps)
            if step.recorded or remembered_metric(self.root, step, self.metric) is not None
        }

    def look(self, place: int) -> Measurement:
        """Evaluate a step, once, and say what came of it.

        Raises:
            UserError: If it cannot be evaluated.
        """
        if place not in self.found:
            measured, how = evaluate_step(self.root, self.steps[place], self.metric)
            self.found[place] = measured
            self.ways[how] += 1
            number = f"{self.metric} {measured.value:.4f} (n={measured.n})"
            self.say(evaluation_summary(self.root, self.steps[place].commit, number, self.word(place), how))
        return self.found[place]

    def word(self, place: int) -> str:
        """Say good or bad; as it was asked, until the limit is known."""
        if self.limit is None:
            return "good" if place == 0 else "bad"
        return "bad" if self.found[place].value < self.limit else "good"

    def is_bad(self, place: int) -> bool | None:
        """Say whether a step is bad; None if it cannot be evaluated.

        Raises:
            UnmeasurableError: If no step has had such a number yet: then the name is wrong, not the commit.
        """
        try:
            self.look(place)
        except UserError as problem:
            if isinstance(problem, UnmeasurableError) and not self.found:
                raise
            self.failed[place] = str(problem)
            self.say(evaluation_summary(self.root, self.steps[place].commit, "cannot be evaluated", str(problem)))
            return None
        return self.word(place) == "bad"

    def look_at_end(self, place: int) -> Measurement:
        """Evaluate the first or the last step.

        Raises:
            UserError: If it cannot be evaluated, or is not what it was taken for.
        """
        asked = "good" if place == 0 else "bad"
        try:
            measured = self.look(place)
        except UnmeasurableError:
            raise
        except UserError as problem:
            where, do = self.steps[place].commit[:12], f"name another commit that is {asked}"
            raise UserError(where, f"cannot be evaluated: {problem}", do=do) from problem
        if self.word(place) != asked:
            raise UserError(
                self.steps[place].commit[:12],
                f"is not {asked}",
                expected=f"{self.metric} {'not ' if place == 0 else ''}below the limit of {self.limit:g}",
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
        course = BisectSession(root, metric, steps, say, limit)
        say(
            f"commits that change what the model depends on: {len(steps) - 1} of {commits}; "
            f"evaluations: {max_evaluations(course)}"
        )
        limit = set_threshold(course)
        before, after = search_steps(len(steps), course.is_bad, course.cheap)
        for place in course.ends:
            if place in (before, after):
                course.look_at_end(place)
        answer = BisectResult(steps[before : after + 1], course.found[before], course.found[after])
        for told in bisect_report(root, answer, metric, limit):
            say(told)
        say(evaluation_count(course.ways))


def max_evaluations(course: BisectSession) -> str:
    """Say how many evaluations are ahead at most; more, if there are commits that cannot be evaluated."""
    ends = len(set(course.ends) - course.cheap)
    wanted = ends if course.limit is None or len(course.steps) == 2 else min(ends, 1)
    return f"at most {math.ceil(math.log2(len(course.steps) - 1)) + wanted}"


def set_threshold(course: BisectSession) -> float:
    """Set the limit halfway between the ends, unless it is given; then look at those ends that cost nothing.

    Raises:
        UserError: If an end cannot be evaluated, or good is not better than bad.
    """
    if course.limit is not None:
        for place in sorted(course.cheap & set(course.ends)):
            course.look_at_end(place)
        return course.limit
    good, bad = (course.look_at_end(place) for place in course.ends)
    if good.value <= bad.value:
        raise UserError(
            course.metric,
            "good is not better than bad",
            expected="a number that is higher at good",
            got=f"{good.value:.4f} at good, {bad.value:.4f} at bad",
            do="name other commits, or another metric",
        )
    course.limit = (good.value + bad.value) / 2
    return course.limit
