"""What a run that has ended has to tell MLflow; kept on disk until it is told, since MLflow may be away by then."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flows.paths import RUNS, database, keeps_records, private, tracking_uri, write_whole
from flows.review.data_diff import Base
from flows.vcs.snapshot import Snapshot
from flows.vcs.states import Past
from pipeline.files import read_json

ACCOUNT = "account.json"


@dataclass(frozen=True)
class Account:
    """What is to be told of a run.

    Args:
        run: Its id in MLflow.
        status: FINISHED or FAILED.
        started: When it began, in seconds of the clock.
        tags: What is noted of it.
        state: The state that it was kept as; None if it failed before.
        release: SHA-256 of the release that it made; None if it did not go that far.
        change: How its pairs differ from those of the past (see told_change); None if that is not known.
    """

    run: str
    status: str
    started: float
    tags: Mapping[str, str] = field(default_factory=dict)
    state: Snapshot | None = None
    release: str | None = None
    change: Mapping[str, Any] | None = None


def told_change(against: Base, compared: Mapping[str, Any]) -> dict[str, Any]:
    """Put a comparison with a state of the past into plain values."""
    return {"whose": against.whose, "state": asdict(against.state), "compared": compared}


def change_of(told: Mapping[str, Any]) -> tuple[Base, Mapping[str, Any]]:
    """Give a comparison back as it was."""
    return Base(Past(**told["state"]), told["whose"]), told["compared"]


def keep(folder: Path, account: Account) -> None:
    """Keep what is to be told in the folder of its run, whole or not at all."""
    write_whole(folder / ACCOUNT, asdict(account))


def read(folder: Path) -> Account:
    """Read what is to be told of the run of a folder."""
    values = read_json(folder / ACCOUNT)
    state = values.pop("state")
    return Account(**values, state=state and Snapshot(**state))


def forget(folder: Path) -> None:
    """Note that it is told."""
    (folder / ACCOUNT).unlink()


def put_aside(folder: Path) -> Path:
    """Note that it cannot be told, and keep it to be looked at; give its place."""
    return (folder / ACCOUNT).rename(folder / f"untold-{ACCOUNT}")


def untold(root: Path) -> list[Path]:
    """List the folders of the runs of which something is still to be told, the oldest first."""
    return sorted(path.parent for path in (private(root) / RUNS).glob(f"*/{ACCOUNT}"))


def sign(root: Path) -> str | None:
    """What the marker says when the release of the files is recorded; None if it cannot be."""
    release = root / "data/register/release.json"
    uri = tracking_uri(root)
    lost = keeps_records(root) and not database(root).exists()
    if lost or not release.exists():
        return None
    return f"{hashlib.sha256(release.read_bytes()).hexdigest()} in {uri}\n"


def mark(root: Path) -> None:
    """Note that the release of the files is recorded."""
    (private(root) / "recorded").write_text(sign(root) or "", encoding="utf-8")


def marked(root: Path) -> bool:
    """Say whether the release of the files is noted as recorded."""
    marker, wanted = private(root) / "recorded", sign(root)
    return wanted is not None and marker.exists() and marker.read_text(encoding="utf-8") == wanted
