"""The champion as the stages see it: data/champion/, which the flow refreshes and they compare with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.pairs import read_json

RECORD = "champion.json"
ADAPTER = "adapter"


@dataclass(frozen=True)
class Champion:
    """The model to beat: its adapter, and the release that made it champion."""

    adapter: Path
    release: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of its weights."""
        return str(self.release["digests"]["adapter"])


def read_champion(data: Path) -> Champion | None:
    """Read the champion to compare with; None before the first one."""
    folder = data / "champion"
    if not (folder / RECORD).exists():
        return None
    return Champion(folder / ADAPTER, read_json(folder / RECORD))
