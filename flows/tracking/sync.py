"""Making MLflow agree with the files, outside a run."""

from datetime import UTC, datetime
from pathlib import Path

from flows.tracking.client import mlflow_client
from flows.tracking.flush import flush_pending
from flows.tracking.outbox import mark_recorded
from flows.tracking.rebuild import rebuild_mlflow as sync_record
from flows.vcs.dvc import stage_names
from flows.vcs.dvc_lock import verify_outputs
from flows.vcs.recovery import locked_and_recovered
from flows.vcs.snapshot import write_snapshot
from pipeline.errors import UserError
from pipeline.params import load_params


def create_database(root: Path) -> None:
    """Make MLflow's database if it is not there, so that no server has to."""
    mlflow_client(root)


def sync_mlflow(root: Path) -> list[str]:
    """Rebuild in MLflow what it lacks of the current files and of the champion; say what was done.

    Raises:
        UserError: If there is no release to record, or the files are not what DVC wrote down.
    """
    params = load_params(root / "params.yaml")
    if not (root / "data/register/release.json").exists():
        raise UserError(
            "data/register/release.json",
            "no such file",
            do="`tunesmith run` makes it, `dvc checkout` brings it back",
        )
    with locked_and_recovered(root, "tunesmith sync"):
        verify_outputs(root, stage_names(root))
        name = f"sync-{datetime.now(UTC):%Y%m%dT%H%M%S}"  # never one that an earlier run is recorded with
        flushed = flush_pending(root, params)
        lines = [*flushed, *sync_record(root, params, lambda: write_snapshot(root, name))]
        mark_recorded(root)
    return lines
