"""What drift is, wherever `max_drift` limits it: total variation between two counts, unless chance explains it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.arrays import Ints

DRIFT_P_VALUE = 0.001
"""Largest p-value of a difference that is taken for one: in small data, chance alone moves every share."""


@dataclass(frozen=True)
class DriftMeasure:
    """How far one thing has moved.

    Args:
        what: Which.
        distance: Total variation: the share of rows (of words) that would have to be others, from 0 to 1.
        p_value: Of Pearson's chi-squared test that both come from one source.
        most: What has changed its share most: its name, its share then, its share now.
    """

    what: str
    distance: float
    p_value: float
    most: tuple[str, float, float]

    @property
    def drift(self) -> float:
        """What `max_drift` is held against: the distance, or 0 if it may be chance."""
        return self.distance if self.p_value <= DRIFT_P_VALUE else 0.0

    @property
    def thousandths(self) -> int:
        """The drift as a whole number."""
        return int(np.ceil(1000 * self.drift - 1e-6))

    def __str__(self) -> str:
        name, then, now = self.most
        return f"{self.what} by {self.distance:.2f} (above all {name!r}, from {then:.1%} to {now:.1%})"


def length_histogram(lengths: Ints) -> dict[str, int]:
    """Count lengths by the power of two that they do not exceed."""
    powers = np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    counted = np.bincount(powers).tolist()
    return {f"up to {2**power:,}": number for power, number in enumerate(counted) if number}


def measure_drift(what: str, before: Mapping[str, int], now: Mapping[str, int]) -> DriftMeasure:
    """Compare two counts of the same things."""
    names = sorted(name for name in {*before, *now} if before.get(name) or now.get(name))
    table = np.array([[counted.get(name, 0) for name in names] for counted in (before, now)], np.float64)
    then, since = table / table.sum(axis=1, keepdims=True)
    index = int(np.argmax(np.abs(since - then)))
    p_value = float(stats.chi2_contingency(table, correction=False).pvalue) if len(names) > 1 else 1.0
    most = (names[index], float(then[index]), float(since[index]))
    return DriftMeasure(what, float(np.abs(since - then).sum() / 2), p_value, most)
