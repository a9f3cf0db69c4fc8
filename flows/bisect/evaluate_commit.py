"""One evaluation: the number of a commit's model, read where it is recorded, else made in a worktree through DVC."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from flows.bisect.cache import Measurement, cache_measurement, cached_measurement
from flows.bisect.inputs import LAST_STAGE, METRICS_FILE, CommitInputs
from flows.bisect.steps import CommitStep
from flows.paths import state_dir
from flows.review.data_diff import run_pipeline_module
from flows.vcs.dvc import RunJournal, reproduce_stage, stage_names
from flows.vcs.dvc_lock import verify_outputs
from flows.vcs.output_filter import OutputFilter, print_output
from flows.vcs.states import PREDICTIONS_PATH, CommitState, read_lock_state, restore_output, state_at
from flows.vcs.worktree import add_worktree, fetch_worktree_data, pointed_outputs, pointer_files, remove_worktree
from pipeline.errors import UserError
from pipeline.files import read_json

BISECT_WORKTREE = "bisect"

MeasuredBy = Literal["remembered", "recorded", "restored", "ran"]
"""From an earlier bisect; from the outputs that a dvc.lock names; all stages from DVC's cache; a stage was run."""
FROM_RECORD: MeasuredBy = "recorded"


class UnmeasurableError(UserError):
    """An evaluation that came to its end, and has no such number."""

    def __init__(self, problem: UserError) -> None:
        Exception.__init__(self, problem.what if problem.where == "metric_lookup" else str(problem))
        self.where = problem.where
        self.what = problem.what


def remembered_metric(root: Path, step: CommitStep, metric: str) -> Measurement | None:
    """Give what an earlier bisect measured of a step, unless its commits tell of other answers by now."""
    for state in step.states:
        measurement = cached_measurement(root, state.commit, metric)
        if measurement is not None and step.predictions_md5 in (None, measurement.outputs[PREDICTIONS_PATH]):
            return measurement
    return None


def evaluate_step(root: Path, step: CommitStep, metric: str) -> tuple[Measurement, MeasuredBy]:
    """Give the number of a step's model, by the cheapest way there is, and keep it for the next time.

    Raises:
        UnmeasurableError: If its evaluation has no such number.
        UserError: If a stage fails, or data cannot be had.
    """
    if (known := remembered_metric(root, step, metric)) is not None:
        return known, "remembered"
    read = recorded_metric(root, step, metric)
    measurement, how = run_in_worktree(root, step.inputs, metric) if read is None else (read, FROM_RECORD)
    cache_measurement(root, step.commit, metric, measurement)
    return measurement, how


def recorded_metric(root: Path, step: CommitStep, metric: str) -> Measurement | None:
    """Read the number from what a dvc.lock names; None if none is of these inputs, or its outputs are gone."""
    for state in step.recorded_states:
        recorded_state = state_at(root, state.commit)
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
            folder = Path(scratch)
            if recorded_state is not None and restore_evaluation(root, recorded_state, folder):
                return compute_metric(
                    root, folder / "metrics.json", folder / "answers.parquet", metric, recorded_state.outputs
                )
    return None


def restore_evaluation(root: Path, state: CommitState, folder: Path) -> bool:
    """Bring back what an evaluation left; say whether it is to be had: if not, the stages can make it again."""
    try:
        restore_output(root, state, METRICS_FILE, folder / "metrics.json")
        restore_output(root, state, PREDICTIONS_PATH, folder / "answers.parquet")
    except UserError:
        return False
    return True


def run_in_worktree(root: Path, inputs: CommitInputs, metric: str) -> tuple[Measurement, MeasuredBy]:
    """Bring the stages of a commit up to date in a worktree, whose DVC has this checkout's cache."""
    tree = add_worktree(root, inputs.commit, BISECT_WORKTREE)
    try:
        if names := [
            name for name in pointer_files(tree) if inputs.files.keys() & dict(pointed_outputs(tree, [name])).keys()
        ]:
            fetch_worktree_data(tree, *names)
        ran = run_worktree_stages(tree)
        outputs = read_lock_state(tree, inputs.commit).outputs
        return compute_metric(
            root, tree / METRICS_FILE, tree / PREDICTIONS_PATH, metric, outputs
        ), "ran" if ran else "restored"
    finally:
        remove_worktree(root, BISECT_WORKTREE)


def run_worktree_stages(tree: Path) -> bool:
    """Bring each stage up to evaluate up to date, check what they left, and say whether any of them was run.

    The champion of now is not shown to them: what they see of one is what the commit holds.
    """
    names = stage_names(tree)
    if LAST_STAGE not in names:
        raise UserError("dvc.yaml", f"has no stage {LAST_STAGE}")
    names = names[: names.index(LAST_STAGE) + 1]
    journal, live = RunJournal(state_dir(tree) / "journal.jsonl"), state_dir(tree) / "live.jsonl"
    outcomes = [
        reproduce_stage(tree, name, journal, OutputFilter(print_output, len), force=False, live=live) for name in names
    ]
    verify_outputs(tree, names)
    return "ran" in outcomes


def compute_metric(root: Path, metrics: Path, answers: Path, metric: str, outputs: Mapping[str, str]) -> Measurement:
    """Let the pipeline compute a number of an evaluation.

    Raises:
        UnmeasurableError: If it has no such number.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        out = Path(scratch) / "measured.json"
        try:
            run_pipeline_module(root, "pipeline.metric_lookup", str(metrics), str(answers), metric, str(out))
        except UserError as problem:
            raise UnmeasurableError(problem) from problem
        return Measurement(**read_json(out), outputs=dict(outputs))
