"""A learning curve as a power law of the number of training rows, and what it says of twice as many.

error(n) = c + a n^-b, with a and c not below 0: the form that the errors of learners of all kinds have over a wide
range of n (Hestness et al., "Deep Learning Scaling is Predictable, Empirically", 2017); fitted to a few small shares it
tells what more rows bring (Figueroa et al., "Predicting sample size required for classification performance", BMC Med.
Inform. Decis. Mak. 12:8, 2012).
"""

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Floats
from pipeline.stats.bootstrap import SHOWN_CONFIDENCE, bootstrap_draws, percentile_interval

EXPONENTS = np.linspace(0.02, 2.0, 100)
"""Values of b that are tried."""
MIN_SUBSETS = 4
"""Shares below which nothing is fitted: three lie on some power law with a floor; without a floor all promise more."""
MIN_GAIN = 5e-4
"""A gain counts as one if its interval begins above this: less is rounded to none."""


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = floor + scale n^-power, for one curve or for many: numbers, or arrays of shape (curves,)."""

    scale: Floats
    exponent: Floats
    irreducible_error: Floats

    def metric_at(self, rows: float) -> Floats:
        """What the metric is with so many training rows: 1 less the error."""
        return 1 - self.irreducible_error - self.scale * rows**-self.exponent


@dataclass(frozen=True)
class GrowthForecast:
    """What a curve says.

    Args:
        law: The fitted law.
        draws: Laws of the same curve on test rows drawn again: how uncertain it is.
        rows: Training rows of the whole.
    """

    law: PowerLaw
    draws: PowerLaw
    rows: int
    missed: float = 0.0
    """By how much the law misses the whole, in the metric; 0 if it lies within the interval of what was measured."""

    def at(self, rows: float) -> tuple[float, float, float]:
        """Expect the metric with so many training rows: value, and both ends of its interval."""
        return widened_interval(float(self.law.metric_at(rows)[0]), self.draws.metric_at(rows))

    def gain(self, times: float) -> tuple[float, float, float]:
        """Expect what so many times the rows would bring: value, and both ends of its interval."""
        more = self.rows * times
        value = float((self.law.metric_at(more) - self.law.metric_at(self.rows))[0])
        return widened_interval(value, self.draws.metric_at(more) - self.draws.metric_at(self.rows))


def widened_interval(value: float, draws: Floats) -> tuple[float, float, float]:
    """Give a value the percentile interval of its draws, widened to hold it."""
    low, high = percentile_interval(draws, SHOWN_CONFIDENCE)
    return value, min(low, value), max(high, value)


def fit_growth(rows: Floats, scores: Floats, resamples: int, seed: int) -> GrowthForecast | None:
    """Fit the law to a curve; the same test rows are drawn for all shares, since they answered the same ones.

    It knows how uncertain the test rows leave it, not what another seed of the training would have given.

    Args:
        rows: Training rows of each share, shape (shares,), rising; the last is the whole.
        scores: Of each test row by the model of each share, from 0 to 1, shape (shares, n).
        resamples: Bootstrap draws.
        seed: Of the draws.

    Returns:
        The growth; None if there are too few shares to fit anything.
    """
    if len(rows) < MIN_SUBSETS:
        return None
    weights = 1 / np.maximum(scores.var(axis=1) / scores.shape[1], 1e-6)
    means = bootstrap_draws(lambda drawn: scores[:, drawn].mean(axis=2).T.ravel(), scores.shape[1], resamples, seed)
    means = means.reshape(-1, len(rows))
    law = fit_power_law(rows, 1 - scores.mean(axis=1)[None], weights)
    low, high = percentile_interval(means[:, -1], SHOWN_CONFIDENCE)
    whole, there = float(scores[-1].mean()), float(law.metric_at(rows[-1])[0])
    missed = 0.0 if low <= there <= high else there - whole
    return GrowthForecast(law, fit_power_law(rows, 1 - means, weights), int(rows[-1]), missed)


def fit_power_law(rows: Floats, errors: Floats, weights: Floats) -> PowerLaw:
    """Fit by weighted least squares: for each power the best scale and floor that are not negative, then the power.

    Args:
        rows: Shape (shares,).
        errors: Shape (curves, shares).
        weights: Shape (shares,).
    """
    x = rows ** -EXPONENTS[:, None]  # (powers, shares)
    scale, floor = fit_plane(x, errors, weights / weights.sum())
    missed = errors[:, None] - floor[..., None] - scale[..., None] * x
    best = ((missed**2) @ weights).argmin(axis=1)
    curves = np.arange(len(errors))
    return PowerLaw(scale[curves, best], EXPONENTS[best], floor[curves, best])


def fit_plane(x: Floats, errors: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Fit errors = floor + scale x with neither below 0: the free fit, else the better of its two edges.

    Args:
        x: Shape (powers, shares).
        errors: Shape (curves, shares).
        weights: Shape (shares,), adding up to 1.

    Returns:
        Scale and floor, each of shape (curves, powers).
    """
    flat = errors @ weights  # (curves,): the best floor without a slope
    slope = (errors * weights) @ x.T / (x**2 @ weights)  # (curves, powers): the best slope without a floor
    middle = x @ weights
    spread = x**2 @ weights - middle**2
    free = ((errors * weights) @ x.T - flat[:, None] * middle) / spread
    floor = flat[:, None] - free * middle
    scale = np.where(free < 0, 0.0, np.where(floor < 0, slope, free))
    return scale, np.where(free < 0, flat[:, None], np.where(floor < 0, 0.0, floor))


def growth_sentence(growth: GrowthForecast | None, metric: str) -> str:
    """Say in a sentence what twice the rows would bring."""
    if growth is None:
        return f"What twice the rows would bring cannot be told: that takes {MIN_SUBSETS} shares, the whole among them."
    if growth.missed:
        where = "above" if growth.missed > 0 else "below"
        missed = f"{100 * abs(growth.missed):.1f} points {where} what it has"
        return (
            "What twice the rows would bring cannot be told: the shares lie on no power law. The nearest would have "
            f"the model of all rows {missed}."
        )
    gain, low, high = growth.gain(2)
    numbers = f"{100 * gain:+.1f} points of {metric} (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    if low <= MIN_GAIN:
        return f"Whether twice the rows would bring anything cannot be told: {numbers}."
    return f"Twice the rows, {2 * growth.rows:,}, would bring about {numbers}."
