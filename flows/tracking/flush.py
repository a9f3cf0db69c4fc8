"""Logs what runs recorded to MLflow: when they end, or as soon as it answers again."""

import tempfile
from pathlib import Path

from mlflow.exceptions import MlflowException

from flows.champion.store import bring_release
from flows.paths import tracking_uri
from flows.tracking.artifacts import log_data_diff, log_stopped_findings
from flows.tracking.client import mlflow_client
from flows.tracking.outbox import (
    RunRecord,
    diff_from_values,
    mark_recorded,
    park_record,
    pending_runs,
    read_record,
    remove_record,
)
from flows.tracking.rebuild import register_past_version
from flows.tracking.release import RELEASE_TAG, record_release, release_digest
from flows.tracking.runs import TrackingRun, begin_mlflow_run, read_points, ship_points
from flows.tracking.versions import ModelVersion
from flows.vcs.git import run_git
from flows.vcs.snapshot import Snapshot
from flows.vcs.states import state_at
from pipeline.errors import UserError
from pipeline.params import Params, load_params

LIVE_FILE = "live.jsonl"
"""The curves, in the folder of the run, as the training wrote them."""
MLFLOW_ERRORS = (MlflowException, OSError)
"""What MLflow raises when its server is away: its own error, or that of the library that asks for it."""


def flush_run(root: Path, folder: Path, params: Params) -> ModelVersion | None:
    """Log the run of a folder to MLflow; logged twice, it is there once.

    Returns:
        Its version; None if it made no release.
    """
    account = read_record(folder)
    run = find_or_begin_run(root, account, recorded_params(root, account) or params, folder.name)
    if account.change:
        log_data_diff(run, *diff_from_values(account.change))
    run.set_tags(account.tags)
    ship_points(run, read_points(folder / LIVE_FILE))
    if account.status == "FAILED":
        log_stopped_findings(run, account.started)
    version = None
    if account.release and account.state:
        version = record_version(run, account.release, account.state)
    run.end(account.status)
    remove_record(folder)
    return version


def recorded_params(root: Path, account: RunRecord) -> Params | None:
    """Read the params of the state that a run was kept as, whatever they are by now; None if it was not kept."""
    if account.state is None:
        return None
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        path = Path(scratch) / "params.yaml"
        path.write_text(run_git(root, "show", f"{account.state.commit}:params.yaml"), encoding="utf-8")
        return load_params(path)


def find_or_begin_run(root: Path, account: RunRecord, params: Params, name: str) -> TrackingRun:
    """Find the run in MLflow, or begin it anew if MLflow has lost it."""
    try:
        mlflow_client(root).get_run(account.run)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return begin_mlflow_run(root, params, name)
    return TrackingRun(root, account.run)


def record_version(run: TrackingRun, release: str, state: Snapshot) -> ModelVersion:
    """Record the release of a run, from the files, or from what DVC keeps if the files are others by now."""
    if (run.root / "data/register/release.json").exists() and release_digest(run.root) == release:
        version = record_release(run, state)
        mark_recorded(run.root)
        return version
    kept = state_at(run.root, state.commit)
    if kept is None:
        raise UserError(f"commit {state.commit[:12]}", "holds no dvc.lock any more", do="bring the repository back")
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        version = register_past_version(run, bring_release(run.root, kept, Path(scratch)), state.commit)
    run.set_tags({RELEASE_TAG: release})
    return version


def flush_or_defer(root: Path, folder: Path, params: Params) -> tuple[ModelVersion | None, str]:
    """Log a run that has just ended to MLflow; what MLflow does not take now stays on disk.

    Returns:
        Its version, if it made one and MLflow knows it; and why the run could not be logged, empty if it was.
    """
    try:
        return flush_run(root, folder, params), ""
    except MLFLOW_ERRORS:
        if mlflow_answers(root):
            raise
        return None, f"MLflow does not answer at {tracking_uri(root)}"


def mlflow_answers(root: Path) -> bool:
    """Say whether MLflow answers at all."""
    try:
        mlflow_client(root).search_experiments(max_results=1)
    except MLFLOW_ERRORS:
        return False
    return True


def flush_pending(root: Path, params: Params) -> list[str]:
    """Log the runs that ended while MLflow was away; say which.

    A run that cannot be logged, since MLflow deleted it or DVC its outputs, is put aside: it must not stop others.

    Raises:
        UserError: If MLflow is still away.
    """
    flushed = []
    mlflow_client(root)
    for folder in pending_runs(root):
        try:
            version = flush_run(root, folder, params)
        except (*MLFLOW_ERRORS, UserError) as error:
            if not mlflow_answers(root):
                raise UserError(tracking_uri(root), "MLflow does not answer", do="start it, and try again") from error
            flushed.append(
                f"run {folder.name} cannot be logged to MLflow: {error}; its record is kept in {park_record(folder)}"
            )
            continue
        known = f", {version.name} version {version.number}" if version else ""
        flushed.append(f"run {folder.name} logged to MLflow, which did not answer when it ended{known}")
    return flushed
