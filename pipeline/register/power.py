"""What a test set can show: the smallest difference, and the rows that it takes."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import binom

from pipeline.stats.paired_comparison import Comparison
from pipeline.stats.paired_proportions import significantly_better, z_value

TARGET_POWER = 0.8
"""How often a difference has to be shown if it is there."""
MAX_PLANNED_ROWS = 1_000_000
"""Beyond so many rows nobody is told a number."""
BISECTION_STEPS = 16


def power_of(comparison: Comparison, n: int, difference: float, *, margin: float, confidence: float) -> float:
    """How often n such rows show that the first arm is significantly better by more than a margin.

    Rows are as those that were seen: where they are right or wrong, as many of them differ (Connor 1987, Biometrics
    43:207), or all that the difference needs; where they have degrees, they differ with the same spread.

    Args:
        comparison: The comparison that was made.
        n: How many rows.
        difference: What the difference is in truth.
        margin: What it has to be above.
        confidence: Of the gate's interval.
    """
    if comparison.method == "score":
        apart = max((comparison.better + comparison.worse) / comparison.n, abs(difference))
        return exact_power(n, (apart + difference) / 2, (apart - difference) / 2, margin=margin, confidence=confidence)
    error = comparison.spread / math.sqrt(n)
    return float(ndtr((difference - margin) / error - z_value(confidence)))


def exact_power(n: int, better: float, worse: float, *, margin: float, confidence: float) -> float:
    """The same for rows that are right or wrong, added up over all that may come out, not by a normal approximation.

    Args:
        n: How many rows.
        better: Share of rows that only the first arm has right.
        worse: Share of rows that only the second has right.
        margin: What the difference has to be above.
        confidence: Of the gate's interval.
    """
    apart = better + worse
    reach = 9 * math.sqrt(n * apart * (1 - min(apart, 1.0))) + 9
    discordant = np.arange(max(0, math.floor(n * apart - reach)), min(n, math.ceil(n * apart + reach)) + 1)
    most = max_losses(discordant, n, margin=margin, confidence=confidence)
    losing = worse / apart if apart > 0 else 0.0
    return float(np.sum(binom.pmf(discordant, n, min(apart, 1.0)) * binom.cdf(most, discordant, losing)))


def max_losses(discordant: NDArray[np.intp], n: int, *, margin: float, confidence: float) -> NDArray[np.intp]:
    """Of so many rows that differ, how many may be lost so that the others are enough; -1: not even none."""
    low, high = np.full(discordant.shape, -1), discordant.copy()
    for _ in range(int(discordant.max()).bit_length() + 1):
        middle = (low + high + 1) // 2
        lost = np.maximum(middle, 0)
        fine = (middle < 0) | significantly_better(discordant - lost, lost, n, margin=margin, confidence=confidence)
        low, high = np.where(fine, middle, low), np.where(fine, high, middle - 1)
    return low


def minimum_detectable(comparison: Comparison, *, margin: float, confidence: float) -> float | None:
    """The smallest difference that the rows at hand show four times in five; None: not even the largest."""

    def shown(difference: float) -> bool:
        return power_of(comparison, comparison.n, difference, margin=margin, confidence=confidence) >= TARGET_POWER

    if not shown(1.0):
        return None
    low, high = margin, 1.0
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


def required_rows(comparison: Comparison, *, margin: float, confidence: float) -> int | None:
    """How many rows, in all, show the difference that was seen four times in five.

    Returns:
        About so many: what is exact rises in small steps with the rows. None if the difference is not above the margin,
        which no number of rows can show, or if it takes more than a million.
    """
    if comparison.difference <= margin:
        return None

    def shown(n: int) -> bool:
        return power_of(comparison, n, comparison.difference, margin=margin, confidence=confidence) >= TARGET_POWER

    return smallest_passing(shown)


def smallest_passing(shown: Callable[[int], bool]) -> int | None:
    """The fewest rows that show something, found by halves."""
    high = 1
    while not shown(high):
        high *= 2
        if high > MAX_PLANNED_ROWS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high
