"""Numbers with their n and their interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pipeline.arrays import Floats, Indices
from pipeline.stats.bootstrap import SHOWN_CONFIDENCE, Statistic, bootstrap_draws, percentile_interval


@dataclass(frozen=True)
class Metric:
    """A number, how many rows it is of, and its 95 % interval."""

    value: float
    n: int
    low: float
    high: float


def proportion(hits: Sequence[bool] | Floats) -> Metric:
    """Share of rows that are so, with the Wilson score interval (Wilson 1927).

    Raises:
        ValueError: If there are no rows; a share of nothing is no number.
    """
    if len(hits) == 0:
        raise ValueError("a metric needs at least one row")
    return wilson_interval(float(np.mean(np.asarray(hits, float))), len(hits))


def wilson_interval(value: float, n: int) -> Metric:
    """Give a mean of numbers from 0 to 1 the Wilson score interval (Wilson 1927).

    It is that of a share. Of other numbers from 0 to 1 it is too wide rather than too narrow, since they vary least
    around the mean that they have: never more than right and wrong do, by p (1 - p).
    """
    z = NormalDist().inv_cdf((1 + SHOWN_CONFIDENCE) / 2)
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (value * (1 - value) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    return Metric(value, n, max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half)))


def bootstrap_metric(statistic: Statistic, n: int, resamples: int, seed: int) -> Metric:
    """A statistic of n rows, a number from 0 to 1, with its percentile bootstrap interval."""
    value = float(statistic(np.arange(n)[None])[0])
    return metric_from_draws(value, n, bootstrap_draws(statistic, n, resamples, seed))


def metric_from_draws(value: float, n: int, draws: Floats) -> Metric:
    """Give a number from 0 to 1 the percentile interval of its bootstrap draws, widened to hold the number itself.

    Draws that tell nothing are left out. Where every draw is the same, as where all answers are right, the bootstrap
    does not know what other rows would bring: then it is the interval of a share of that size.
    """
    draws = draws[np.isfinite(draws)]
    if (draws == value).all():
        return wilson_interval(value, n)
    low, high = percentile_interval(draws, SHOWN_CONFIDENCE)
    return Metric(value, n, min(low, value), max(high, value))


def mean_metric(scores: Floats, resamples: int, seed: int) -> Metric:
    """Mean of row scores from 0 to 1: a share where rows are right or wrong, else with its bootstrap interval."""
    if np.isin(scores, (0.0, 1.0)).all():
        return proportion(scores)
    return bootstrap_metric(lambda rows: scores[rows].mean(axis=1), len(scores), resamples, seed)


def count_by_kind(kinds: Indices, number: int, weights: Floats | None = None) -> Floats:
    """Count, in each draw, the rows of each kind.

    Args:
        kinds: Shape (draws, n): the kind of each row, from 0 to *number*; *number* itself is not counted.
        number: How many kinds there are.
        weights: Of the same shape: for how much each row counts; left out, for one.

    Returns:
        Shape (draws, number).
    """
    draws = len(kinds)
    cells = (kinds + (number + 1) * np.arange(draws)[:, None]).ravel()
    counts = np.bincount(cells, None if weights is None else weights.ravel(), draws * (number + 1))
    return counts.reshape(draws, number + 1)[:, :number].astype(np.float64)
