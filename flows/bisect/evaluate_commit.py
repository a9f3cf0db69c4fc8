"""One evaluation: the number of a commit's model, read where it is recorded, else made in a worktree through DVC."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from flows.bisect.cache import Measured, keep, recall
from flows.bisect.inputs import METRICS, STAGE, Inputs
from flows.bisect.steps import Step
from flows.paths import private
from flows.review.data_diff import module
from flows.vcs.dvc import Journal, bring_up_to_date, stages
from flows.vcs.dvc_lock import verify
from flows.vcs.output_filter import Screen, show
from flows.vcs.states import ANSWERS, Past, bring_back, past, written
from flows.vcs.worktree import add_worktree, bring_data, pointed, pointers, remove_worktree
from pipeline.errors import Problem
from pipeline.files import read_json

TREE = "bisect"

How = Literal["remembered", "recorded", "restored", "ran"]
"""From an earlier bisect; from the outputs that a dvc.lock names; all stages from DVC's cache; a stage was run."""
RECORDED: How = "recorded"


class Unmeasured(Problem):
    """An evaluation that came to its end, and has no such number."""

    def __init__(self, problem: Problem) -> None:
        Exception.__init__(self, problem.what if problem.where == "measure" else str(problem))
        self.where = problem.where
        self.what = problem.what


def remembered(root: Path, step: Step, metric: str) -> Measured | None:
    """Give what an earlier bisect measured of a step, unless its commits tell of other answers by now."""
    for state in step.states:
        found = recall(root, state.commit, metric)
        if found is not None and step.answers in (None, found.outputs[ANSWERS]):
            return found
    return None


def evaluate(root: Path, step: Step, metric: str) -> tuple[Measured, How]:
    """Give the number of a step's model, by the cheapest way there is, and keep it for the next time.

    Raises:
        Unmeasured: If its evaluation has no such number.
        Problem: If a stage fails, or data cannot be had.
    """
    if (known := remembered(root, step, metric)) is not None:
        return known, "remembered"
    read = recorded(root, step, metric)
    found, how = made(root, step.inputs, metric) if read is None else (read, RECORDED)
    keep(root, step.commit, metric, found)
    return found, how


def recorded(root: Path, step: Step, metric: str) -> Measured | None:
    """Read the number from what a dvc.lock names; None if none is of these inputs, or its outputs are gone."""
    for state in step.recorded:
        found = past(root, state.commit)
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
            folder = Path(place)
            if found is not None and brought(root, found, folder):
                return measure(root, folder / "metrics.json", folder / "answers.parquet", metric, found.outputs)
    return None


def brought(root: Path, state: Past, folder: Path) -> bool:
    """Bring back what an evaluation left; say whether it is to be had: if not, the stages can make it again."""
    try:
        bring_back(root, state, METRICS, folder / "metrics.json")
        bring_back(root, state, ANSWERS, folder / "answers.parquet")
    except Problem:
        return False
    return True


def made(root: Path, inputs: Inputs, metric: str) -> tuple[Measured, How]:
    """Bring the stages of a commit up to date in a worktree, whose DVC has this checkout's cache."""
    tree = add_worktree(root, inputs.commit, TREE)
    try:
        if names := [name for name in pointers(tree) if inputs.files.keys() & dict(pointed(tree, [name])).keys()]:
            bring_data(tree, *names)
        ran = run_stages(tree)
        outputs = written(tree, inputs.commit).outputs
        return measure(root, tree / METRICS, tree / ANSWERS, metric, outputs), "ran" if ran else "restored"
    finally:
        remove_worktree(root, TREE)


def run_stages(tree: Path) -> bool:
    """Bring each stage up to evaluate up to date, check what they left, and say whether any of them was run.

    The champion of now is not shown to them: what they see of one is what the commit holds.
    """
    names = stages(tree)
    if STAGE not in names:
        raise Problem("dvc.yaml", f"has no stage {STAGE}")
    names = names[: names.index(STAGE) + 1]
    journal, live = Journal(private(tree) / "journal.jsonl"), private(tree) / "live.jsonl"
    outcomes = [bring_up_to_date(tree, name, journal, Screen(show, len), force=False, live=live) for name in names]
    verify(tree, names)
    return "ran" in outcomes


def measure(root: Path, metrics: Path, answers: Path, metric: str, outputs: Mapping[str, str]) -> Measured:
    """Let the pipeline compute a number of an evaluation.

    Raises:
        Unmeasured: If it has no such number.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        out = Path(place) / "measured.json"
        try:
            module(root, "pipeline.metric_lookup", str(metrics), str(answers), metric, str(out))
        except Problem as problem:
            raise Unmeasured(problem) from problem
        return Measured(**read_json(out), outputs=dict(outputs))
