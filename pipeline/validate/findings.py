"""What the checks found, and what becomes of each pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Ints
from pipeline.params import MaskableAction
from pipeline.validate.checks import RowCheck
from pipeline.validate.columns import PairColumns

LISTED_ROWS = 10
NOT_QUARANTINED = -1
"""In place of the number of the finding that sets a row aside."""


@dataclass(frozen=True)
class Finding:
    """What a check found: the places (positions in the list of pairs) that break it."""

    check: RowCheck
    action: MaskableAction
    places: Ints

    @property
    def sets_aside(self) -> bool:
        """Whether its pairs are set aside."""
        return self.action == "quarantine"


@dataclass(frozen=True)
class ValidatedPairs:
    """All pairs, judged.

    Args:
        columns: What is known of each.
        sides: The number of its split.
        findings: What the checks found.
        why: Of each, the number of the finding that sets it aside, or KEPT.
        unread: The reasons of rows that ingest set aside.
        results: What Great Expectations said, a page for each time that it was asked.
        moved: How many pairs stay in the test set only because they were tested before.
    """

    columns: PairColumns
    sides: Ints
    findings: Sequence[Finding]
    why: Ints
    unread: Sequence[str]
    results: Sequence[Any] = ()
    moved: int = 0

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which are kept."""
        flags: npt.NDArray[np.bool_] = self.why == NOT_QUARANTINED
        return flags


def quarantine_reasons(findings: Sequence[Finding], rows: int) -> Ints:
    """Give for each pair the number of the first finding that sets it aside, or KEPT."""
    why = np.full(rows, NOT_QUARANTINED, np.int64)
    for number in reversed(range(len(findings))):
        if findings[number].sets_aside:
            why[findings[number].places] = number
    return why


def row_names(columns: PairColumns, indices: Ints) -> str:
    """Name the rows at some places."""
    rows = [f"{columns.files[columns.sources[index]]} row {columns.rows[index]}" for index in indices[:LISTED_ROWS]]
    return ", ".join(rows) + (" and others" if len(indices) > LISTED_ROWS else "")
