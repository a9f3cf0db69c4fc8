"""Paired proportions: exact McNemar test and Tango's interval over the rows where two arms disagree."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtri

from pipeline.arrays import Floats

HALVINGS = 60
"""Of an interval of length 2: below what a float can tell."""


def mcnemar_p_value(better: ArrayLike, worse: ArrayLike) -> Floats:
    """Exact two-sided p-value of "both are right as often" (McNemar 1947): a fair coin over the rows that differ.

    Args:
        better: Rows that only the first arm has right.
        worse: Rows that only the second has right.
    """
    first, second = np.asarray(better), np.asarray(worse)
    tail = bdtr(np.minimum(first, second), first + second, 0.5)
    return np.asarray(np.clip(2 * tail, np.finfo(float).tiny, 1.0))  # none is 0, however small


def one_sided_p_value(better: ArrayLike, worse: ArrayLike) -> Floats:
    """Exact one-sided p-value of "the first arm is no worse": how often a fair coin gives so many losses or more."""
    first, second = np.asarray(better), np.asarray(worse)
    return np.asarray(bdtr(first, first + second, 0.5))


def tango_score(better: ArrayLike, worse: ArrayLike, n: ArrayLike, difference: ArrayLike) -> Floats:
    """How many standard errors the rows lie above a supposed difference of two shares (Tango 1998, Stat. Med. 17:891).

    The standard error is that which the supposed difference would bring, so it is not zero where no row differs. It
    falls as the difference rises. With a difference of 0 its square is McNemar's statistic.
    """
    b, c, rows, supposed = (np.asarray(value, float) for value in (better, worse, n, difference))
    linear = (2 * rows - b + c) * supposed - b - c
    root = np.sqrt(np.maximum(linear**2 + 8 * rows * c * supposed * (1 - supposed), 0))
    lost = (root - linear) / (4 * rows)  # the most likely share of rows that only the second has right
    variance = rows * (2 * lost + supposed * (1 - supposed))
    above = b - c - rows * supposed
    some = variance > 1e-12
    sure = np.where(np.abs(above) < 1e-9, 0.0, np.copysign(np.inf, above))
    return np.where(some, above / np.sqrt(np.where(some, variance, 1.0)), sure)


def z_value(confidence: float) -> float:
    """How many standard errors a two-sided interval of this confidence reaches to either side."""
    return float(ndtri((1 + confidence) / 2))


def tango_interval(better: ArrayLike, worse: ArrayLike, n: int, confidence: float) -> tuple[Floats, Floats]:
    """Interval of the difference of two shares of the same rows: all differences that the score does not refuse.

    It holds its confidence where few rows differ: with 20 rows of which 4 % differ, a bootstrap covers the truth 43
    times in 100, since it mostly sees no row that differs and then has no width. Newcombe's method 10 (Stat. Med.
    1998, 17:2635) does as well, but its answer depends also on the rows that both have right.
    """
    b, c = np.broadcast_arrays(np.asarray(better, float), np.asarray(worse, float))
    reach, difference = z_value(confidence), (b - c) / n

    def where_score_is(wanted: float, low: Floats, high: Floats) -> Floats:
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            above = tango_score(b, c, n, middle) > wanted
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return (low + high) / 2

    return where_score_is(reach, np.full(b.shape, -1.0), difference), where_score_is(
        -reach, difference, np.full(b.shape, 1.0)
    )


def significantly_better(
    better: ArrayLike, worse: ArrayLike, n: int, *, margin: float, confidence: float
) -> NDArray[np.bool_]:
    """Say whether the difference lies significantly above a margin: the whole interval, and the exact test agrees.

    The score's interval may be a little too short where few rows differ (5 against 0 of 60 lie above 0, yet a fair coin
    does so once in 16 tries), so a claim to be better has to pass both. Against a margin below 0, a claim to be nearly
    as good, the exact test of "no difference" has nothing to say.
    """
    above = tango_score(better, worse, n, margin) > z_value(confidence)
    return np.asarray(above & (mcnemar_p_value(better, worse) <= 1 - confidence)) if margin >= 0 else np.asarray(above)
