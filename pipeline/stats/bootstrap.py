"""Bootstrap: percentile intervals of a statistic over resampled rows."""

from collections.abc import Callable, Iterator

import numpy as np

from pipeline.arrays import Floats, Indices

Statistic = Callable[[Indices], Floats]
"""Gives a number for each draw; NaN where its rows tell nothing."""

SHOWN_CONFIDENCE = 0.95
"""Of every interval shown; the gate has its own in params."""

BOOTSTRAP_NUMBERS = 1 << 21
"""Numbers that a bootstrap holds at once, 16 MiB of them."""


def bootstrap_draws(statistic: Statistic, n: int, resamples: int, seed: int) -> Floats:
    """Bootstrap a statistic of rows (Efron 1979): its value on *resamples* draws of n rows with replacement.

    Draws are computed many at once, as many as `BOOTSTRAP_NUMBERS` numbers hold; how many changes no draw.
    """
    random = np.random.default_rng(seed)
    return np.concatenate([statistic(random.integers(0, n, (part, n))) for part in draw_batches(resamples, n)])


def draw_batches(draws: int, n: int) -> Iterator[int]:
    """Cut a number of draws of n rows into sizes that fit into `BOOTSTRAP_NUMBERS` numbers."""
    size = max(1, BOOTSTRAP_NUMBERS // n)
    for start in range(0, draws, size):
        yield min(size, draws - start)


def percentile_interval(draws: Floats, confidence: float) -> tuple[float, float]:
    """Percentile interval of bootstrap draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
