"""The record of a run that has ended; kept on disk until it is logged, since MLflow may be away by then."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flows.paths import RUNS_FOLDER, mlflow_database, state_dir, tracking_uri, uses_local_mlflow, write_json_atomic
from flows.review.data_diff import DiffBase
from flows.vcs.snapshot import Snapshot
from flows.vcs.states import CommitState
from pipeline.files import read_json

OUTBOX_FILE = "account.json"


@dataclass(frozen=True)
class RunRecord:
    """What is to be logged of a run.

    Args:
        run: Its id in MLflow.
        status: FINISHED or FAILED.
        started: When it began, in seconds of the clock.
        tags: What is noted of it.
        state: The state that it was kept as; None if it failed before.
        release: SHA-256 of the release that it made; None if it did not go that far.
        change: How its pairs differ from those of the past (see `diff_to_values`); None if that is not known.
    """

    run: str
    status: str
    started: float
    tags: Mapping[str, str] = field(default_factory=dict)
    state: Snapshot | None = None
    release: str | None = None
    change: Mapping[str, Any] | None = None


def diff_to_values(against: DiffBase, compared: Mapping[str, Any]) -> dict[str, Any]:
    """Put a comparison with a state of the past into plain values."""
    return {"whose": against.label, "state": asdict(against.state), "compared": compared}


def diff_from_values(values: Mapping[str, Any]) -> tuple[DiffBase, Mapping[str, Any]]:
    """Give a comparison back as it was."""
    return DiffBase(CommitState(**values["state"]), values["whose"]), values["compared"]


def write_record(folder: Path, account: RunRecord) -> None:
    """Write the record into the folder of its run, whole or not at all."""
    write_json_atomic(folder / OUTBOX_FILE, asdict(account))


def read_record(folder: Path) -> RunRecord:
    """Read the record of the run of a folder."""
    values = read_json(folder / OUTBOX_FILE)
    state = values.pop("state")
    return RunRecord(**values, state=state and Snapshot(**state))


def remove_record(folder: Path) -> None:
    """Remove the record of a run that is logged."""
    (folder / OUTBOX_FILE).unlink()


def park_record(folder: Path) -> Path:
    """Put aside a record that cannot be logged, to be looked at; return its new path."""
    return (folder / OUTBOX_FILE).rename(folder / f"unlogged-{OUTBOX_FILE}")


def pending_runs(root: Path) -> list[Path]:
    """List the folders of the runs that are still to be logged, the oldest first."""
    return sorted(path.parent for path in (state_dir(root) / RUNS_FOLDER).glob(f"*/{OUTBOX_FILE}"))


def release_signature(root: Path) -> str | None:
    """What the marker says when the release of the files is recorded; None if it cannot be."""
    release = root / "data/register/release.json"
    uri = tracking_uri(root)
    lost = uses_local_mlflow(root) and not mlflow_database(root).exists()
    if lost or not release.exists():
        return None
    return f"{hashlib.sha256(release.read_bytes()).hexdigest()} in {uri}\n"


def mark_recorded(root: Path) -> None:
    """Note that the release of the files is recorded."""
    (state_dir(root) / "recorded").write_text(release_signature(root) or "", encoding="utf-8")


def is_marked_recorded(root: Path) -> bool:
    """Say whether the release of the files is noted as recorded."""
    marker, wanted = state_dir(root) / "recorded", release_signature(root)
    return wanted is not None and marker.exists() and marker.read_text(encoding="utf-8") == wanted
