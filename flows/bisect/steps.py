"""The steps from good to bad: commits on one line, those together that make the same model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.bisect.inputs import CommitInputs, read_inputs, with_recorded_outcome
from flows.paths import DVC_YAML
from flows.vcs.git import run_git
from flows.vcs.snapshot import RUN_REFS, WRITTEN_BY_RUNS
from flows.vcs.states import resolve_commit
from pipeline.errors import UserError


@dataclass(frozen=True)
class CommitStep:
    """Commits in a row whose model is the same; what the first of them changed made it so.

    Args:
        states: What each of them depends on, in their order.
        run_states: States of runs that were made of the same, but for what a run writes itself.
    """

    states: tuple[CommitInputs, ...]
    run_states: tuple[CommitInputs, ...] = ()

    @property
    def inputs(self) -> CommitInputs:
        """What the first commit depends on."""
        return self.states[0]

    @property
    def commit(self) -> str:
        """The first commit."""
        return self.inputs.commit

    @property
    def recorded_states(self) -> list[CommitInputs]:
        """The states whose dvc.lock tells the outcome: commits before runs, since they are what is asked for."""
        return [state for state in (*self.states, *self.run_states) if state.predictions_md5 is not None]

    @property
    def predictions_md5(self) -> str | None:
        """MD5 of the answers that the commits record; None if none of them does."""
        return next((state.predictions_md5 for state in self.states if state.predictions_md5 is not None), None)


def steps_between(root: Path, good: str, bad: str) -> tuple[list[CommitStep], int]:
    """Give the steps from the commit that is good to the one that is bad, and how many commits come after the good.

    Raises:
        UserError: If there is no such commit, they are not on one line, or nothing changed that a model depends on.
    """
    commits = first_parent_line(root, good, bad)
    steps: list[CommitStep] = []
    for state in (with_recorded_outcome(root, read_inputs(root, commit)) for commit in commits):
        if steps and same_model(steps[-1], state):
            steps[-1] = CommitStep((*steps[-1].states, state))
        else:
            steps.append(CommitStep((state,)))
    if len(steps) < 2:
        raise UserError(
            f"{good}..{bad}",
            "no commit between them changed what a model depends on",
            expected=f"a change of data, params.yaml, {DVC_YAML} or code that the stages up to evaluate read",
            got=f"{len(commits) - 1} commits that change none of it",
        )
    runs = [read_inputs(root, commit) for commit in run_commits(root)]
    return [CommitStep(step.states, tuple(matching_runs(root, step, runs))) for step in steps], len(commits) - 1


def first_parent_line(root: Path, good: str, bad: str) -> list[str]:
    """List the commits from good to bad, both among them, by first parents.

    Raises:
        UserError: If good does not come before bad on that line.
    """
    first, last = resolve_commit(root, good), resolve_commit(root, bad)
    commits = run_git(root, "rev-list", "--first-parent", "--reverse", last).split()
    if first not in commits or first == last:
        known = set(commits)
        nearest = next((commit for commit in run_git(root, "rev-list", first).split() if commit in known), "none")
        raise UserError(
            good,
            f"does not come before {bad} on its line of first parents",
            expected=f"an earlier commit of that line; the last one that both come from is {nearest[:12]}",
            do="name a commit that was good, and a later one that is bad",
        )
    return commits[commits.index(first) :]


def same_model(step: CommitStep, state: CommitInputs) -> bool:
    """Say whether the next commit makes the same model: the same inputs, and no other answers recorded of them."""
    same_answers = step.predictions_md5 in (None, state.predictions_md5) or state.predictions_md5 is None
    return step.inputs.same_inputs(state) and same_answers


def run_commits(root: Path) -> list[str]:
    """List the commits that hold the state of a run, the newest first."""
    return run_git(root, "for-each-ref", "--sort=-committerdate", "--format=%(objectname)", RUN_REFS).split()


def matching_runs(root: Path, step: CommitStep, runs: Iterable[CommitInputs]) -> Iterator[CommitInputs]:
    """Find the runs that were made of what a step's commits hold, first those that knew least beyond it.

    A run notes in files of its own what was tested before, and whoever commits may leave them out; so it may know more
    of that than the commit, and never less.
    """
    wanted = step.inputs
    for run in sorted(runs, key=lambda run: len(run.files)):
        alike = (wanted.params, wanted.stages, user_files(wanted)) == (run.params, run.stages, user_files(run))
        if alike and wanted.files.items() <= run.files.items():
            yield with_recorded_outcome(root, run)


def user_files(state: CommitInputs) -> dict[str, str]:
    """Give the files that are the user's, not written by a run."""
    return {path: md5 for path, md5 in state.files.items() if not path.startswith(WRITTEN_BY_RUNS)}
