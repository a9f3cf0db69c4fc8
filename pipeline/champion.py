"""The champion as the stages see it: data/champion/, which the flow refreshes and they compare with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.files import read_json

CHAMPION_FOLDER = Path("data/champion")
"""What the stages compare a candidate with."""
CHAMPION_RECORD = "champion.json"
CHAMPION_ADAPTER = "adapter"


@dataclass(frozen=True)
class Champion:
    """The model to beat: its adapter, and the release that made it champion."""

    adapter: Path
    release: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of its weights."""
        return str(self.release["digests"]["adapter"])


def read_champion(folder: Path) -> Champion | None:
    """Read the champion that a folder holds; None if it holds none."""
    if not (folder / CHAMPION_RECORD).exists():
        return None
    return Champion(folder / CHAMPION_ADAPTER, read_json(folder / CHAMPION_RECORD))
