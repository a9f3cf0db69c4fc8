"""The steps from good to bad: commits on one line, those together that make the same model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.bisect.inputs import STAGES, Inputs, inputs_of, with_outcome
from flows.vcs.git import git
from flows.vcs.snapshot import REFS, WRITTEN
from flows.vcs.states import commit_of
from pipeline.errors import Problem


@dataclass(frozen=True)
class Step:
    """Commits in a row whose model is the same; what the first of them changed made it so.

    Args:
        states: What each of them depends on, in their order.
        stand_ins: States of runs that were made of the same, but for what a run writes itself.
    """

    states: tuple[Inputs, ...]
    stand_ins: tuple[Inputs, ...] = ()

    @property
    def inputs(self) -> Inputs:
        """What the first commit depends on."""
        return self.states[0]

    @property
    def commit(self) -> str:
        """The first commit."""
        return self.inputs.commit

    @property
    def recorded(self) -> list[Inputs]:
        """The states whose dvc.lock tells the outcome: commits before runs, since they are what is asked for."""
        return [state for state in (*self.states, *self.stand_ins) if state.answers is not None]

    @property
    def answers(self) -> str | None:
        """MD5 of the answers that the commits record; None if none of them does."""
        return next((state.answers for state in self.states if state.answers is not None), None)


def steps_between(root: Path, good: str, bad: str) -> tuple[list[Step], int]:
    """Give the steps from the commit that is good to the one that is bad, and how many commits come after the good.

    Raises:
        Problem: If there is no such commit, they are not on one line, or nothing changed that a model depends on.
    """
    commits = line(root, good, bad)
    steps: list[Step] = []
    for state in (with_outcome(root, inputs_of(root, commit)) for commit in commits):
        if steps and continues(steps[-1], state):
            steps[-1] = Step((*steps[-1].states, state))
        else:
            steps.append(Step((state,)))
    if len(steps) < 2:
        raise Problem(
            f"{good}..{bad}",
            "no commit between them changed what a model depends on",
            expected=f"a change of data, params.yaml, {STAGES} or code that the stages up to evaluate read",
            got=f"{len(commits) - 1} commits that change none of it",
        )
    runs = [inputs_of(root, commit) for commit in runs_of(root)]
    return [Step(step.states, tuple(stand_ins(root, step, runs))) for step in steps], len(commits) - 1


def line(root: Path, good: str, bad: str) -> list[str]:
    """List the commits from good to bad, both among them, by first parents.

    Raises:
        Problem: If good does not come before bad on that line.
    """
    first, last = commit_of(root, good), commit_of(root, bad)
    commits = git(root, "rev-list", "--first-parent", "--reverse", last).split()
    if first not in commits or first == last:
        known = set(commits)
        nearest = next((commit for commit in git(root, "rev-list", first).split() if commit in known), "none")
        raise Problem(
            good,
            f"does not come before {bad} on its line of first parents",
            expected=f"an earlier commit of that line; the last one that both come from is {nearest[:12]}",
            do="name a commit that was good, and a later one that is bad",
        )
    return commits[commits.index(first) :]


def continues(step: Step, state: Inputs) -> bool:
    """Say whether the next commit makes the same model: the same inputs, and no other answers recorded of them."""
    told = step.answers in (None, state.answers) or state.answers is None
    return step.inputs.same(state) and told


def runs_of(root: Path) -> list[str]:
    """List the commits that hold the state of a run, the newest first."""
    return git(root, "for-each-ref", "--sort=-committerdate", "--format=%(objectname)", REFS).split()


def stand_ins(root: Path, step: Step, runs: Iterable[Inputs]) -> Iterator[Inputs]:
    """Find the runs that were made of what a step's commits hold, first those that knew least beyond it.

    A run notes in files of its own what was tested before, and whoever commits may leave them out; so it may know more
    of that than the commit, and never less.
    """
    wanted = step.inputs
    for run in sorted(runs, key=lambda run: len(run.files)):
        alike = (wanted.params, wanted.stages, own(wanted)) == (run.params, run.stages, own(run))
        if alike and wanted.files.items() <= run.files.items():
            yield with_outcome(root, run)


def own(state: Inputs) -> dict[str, str]:
    """Give the files that are the user's, not written by a run."""
    return {path: md5 for path, md5 in state.files.items() if not path.startswith(WRITTEN)}
