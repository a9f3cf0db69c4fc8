"""Knowing without MLflow, which takes seconds to import, that MLflow shows these very files already."""

import hashlib
from pathlib import Path

from flows.place import database, keeps_records, private, tracking_uri


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
