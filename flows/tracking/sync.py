"""Making MLflow agree with the files, outside a run."""

from datetime import UTC, datetime
from pathlib import Path

from flows.tracking.client import client
from flows.tracking.flush import catch_up
from flows.tracking.outbox import mark
from flows.tracking.rebuild import sync as sync_record
from flows.vcs.dvc import stages
from flows.vcs.dvc_lock import verify
from flows.vcs.recovery import whole
from flows.vcs.snapshot import snapshot
from pipeline.errors import Problem
from pipeline.params import load_params


def make_store(root: Path) -> None:
    """Make MLflow's database if it is not there, so that no server has to."""
    client(root)


def sync(root: Path) -> list[str]:
    """Rebuild in MLflow what it lacks of the current files and of the champion; say what was done.

    Raises:
        Problem: If there is no release to record, or the files are not what DVC wrote down.
    """
    params = load_params(root / "params.yaml")
    if not (root / "data/register/release.json").exists():
        raise Problem(
            "data/register/release.json",
            "no such file",
            do="`tunesmith run` makes it, `dvc checkout` brings it back",
        )
    with whole(root, "tunesmith sync"):
        verify(root, stages(root))
        name = f"sync-{datetime.now(UTC):%Y%m%dT%H%M%S}"  # never one that an earlier run is recorded with
        told = catch_up(root, params)
        done = [*told, *sync_record(root, params, lambda: snapshot(root, name))]
        mark(root)
    return done
