"""Paired comparison of two arms on the same rows: difference, interval, p-value, and correction for many."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import numpy as np
from scipy.special import ndtr

from pipeline.arrays import Floats, Indices
from pipeline.stats.bootstrap import draw_batches, percentile_interval
from pipeline.stats.paired_proportions import mcnemar_p_value, tango_interval, tango_score, z_value


@dataclass(frozen=True)
class ComparisonSettings:
    """Settings of a comparison of arms.

    Args:
        resamples: Bootstrap draws.
        seed: Of the draws.
        confidence: Of the intervals.
        non_inferiority_margin: How much less the other arm may have and still count as non-inferior.
    """

    resamples: int
    seed: int
    confidence: float
    non_inferiority_margin: float


@dataclass(frozen=True)
class PairedDifference:
    """How much more the first arm has than the second, with its n, its interval, and the p-value of "none"."""

    metric: str
    difference: float
    n: int
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Comparison(PairedDifference):
    """A difference of the mean scores of rows.

    Args:
        method: Of the interval. `score` where rows are right or wrong, and then the p-value is exact (McNemar);
            `bootstrap` where they have degrees.
        better: Rows on which the first arm scores more.
        worse: Rows on which the second scores more.
        spread: Standard deviation of the difference of a row.
        p_alike: One-sided p-value of "the second arm is worse by more than `equivalent`".
    """

    method: Literal["score", "bootstrap"]
    better: int
    worse: int
    spread: float
    p_alike: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Take a comparison out of metrics.json, where more may stand beside it."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def reversed(self) -> "Comparison":
        """How much more the second arm has than the first."""
        return replace(
            self, difference=-self.difference, low=-self.high, high=-self.low, better=self.worse, worse=self.better
        )


def compare_scores(metric: str, first: Floats, second: Floats, terms: ComparisonSettings) -> Comparison:
    """Compare two arms by the scores of the same rows, each from 0 to 1."""
    differences = first - second
    binary = (set(np.unique(first)) | set(np.unique(second))) <= {0.0, 1.0}
    better, worse, n = int((differences > 0).sum()), int((differences < 0).sum()), len(differences)
    difference = exact_difference(better, worse, n, terms) if binary else bootstrap_difference(differences, terms)
    return Comparison(
        metric, float(differences.mean()), n, method="score" if binary else "bootstrap",
        better=better, worse=worse, spread=standard_deviation(differences), **difference,
    )  # fmt: skip


def exact_difference(better: int, worse: int, n: int, terms: ComparisonSettings) -> dict[str, float]:
    """What rows that are right or wrong prove: Tango's interval, McNemar's p-value."""
    low, high = tango_interval(better, worse, n, terms.confidence)
    alike = ndtr(tango_score(better, worse, n, terms.non_inferiority_margin))
    return {
        "low": float(low),
        "high": float(high),
        "p_value": float(mcnemar_p_value(better, worse)),
        "p_alike": float(alike),
    }


def bootstrap_difference(differences: Floats, terms: ComparisonSettings) -> dict[str, float]:
    """What rows with degrees show: a percentile bootstrap of their mean (Efron 1979)."""
    draws = bootstrap_means(differences, terms.resamples, terms.seed)
    low, high = percentile_interval(draws, terms.confidence)
    seen = float(differences.mean())
    tail = (1 + (draws >= terms.non_inferiority_margin).sum()) / (1 + len(draws))
    return {"low": min(low, seen), "high": max(high, seen), "p_value": bootstrap_p_value(draws), "p_alike": float(tail)}


def largest_difference(differences: Floats) -> float:
    """The largest difference of a row that was seen; what a row may have at most where that says nothing."""
    largest = float(np.abs(differences).max())
    return largest if largest > 0 and len(differences) > 1 else 1.0


def bootstrap_means(differences: Floats, resamples: int, seed: int) -> Floats:
    """Draw n rows with replacement and take their mean, time and again.

    Among the n rows stand two halves of a row that were not seen, which differ by the largest difference either way: as
    Agresti and Min (Stat. Med. 2005, 24:729) add half a row to each cell of a paired table. Without them, where
    few rows differ, the draws mostly miss those and cover the truth too seldom (20 rows of which 5 % differ: 45 times
    in 100; with them 94), and where none differs have no width at all. Where all rows differ they change little.
    """
    n, far = len(differences), largest_difference(differences)
    random, means = np.random.default_rng(seed), []
    for size in draw_batches(resamples, n):
        position = random.random((size, n)) * (n + 1)
        unseen = np.where(position < n + 0.5, far, -far)
        means.append(
            np.where(position < n, differences[np.minimum(position.astype(np.intp), n - 1)], unseen).mean(axis=1)
        )
    return np.concatenate(means)


def standard_deviation(differences: Floats) -> float:
    """Standard deviation of a row's difference, the two halves of a row that were not seen among them; never 0."""
    n, mean = len(differences), float(differences.sum()) / (len(differences) + 1)
    square = (float((differences**2).sum()) + largest_difference(differences) ** 2) / (n + 1)
    return float(np.sqrt(square - mean**2))


def compare_statistics(
    metric: str,
    first: Callable[[Indices], Floats],
    second: Callable[[Indices], Floats],
    n: int,
    terms: ComparisonSettings,
) -> PairedDifference:
    """Compare two arms by a measure of a set of rows, such as macro-F1: a paired bootstrap over rows.

    Args:
        metric: Its name.
        first: The measure of the first arm on each draw, given the row numbers as draws x rows.
        second: That of the other arm.
        n: How many rows there are.
        terms: On which terms they are compared.
    """
    random = np.random.default_rng(terms.seed)
    rows = (random.integers(0, n, (size, n)) for size in draw_batches(terms.resamples, n))
    draws = np.concatenate([first(some) - second(some) for some in rows])
    seen = float((first(np.arange(n)[None]) - second(np.arange(n)[None]))[0])
    low, high = percentile_interval(draws, terms.confidence)
    if low == high:  # no draw moves it: as wide as where no row differs
        reach = z_value(terms.confidence) ** 2
        low, high = max(-1.0, low - reach / (n + reach)), min(1.0, high + reach / (n + reach))
    return PairedDifference(metric, seen, n, min(low, seen), max(high, seen), bootstrap_p_value(draws))


def bootstrap_p_value(draws: Floats) -> float:
    """Two-sided p-value of "no difference" from draws of it, the rows themselves counted as one draw more.

    So it is never below what the number of draws can show (Davison and Hinkley 1997, section 4.2).
    """
    least = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (1 + least) / (1 + len(draws)))


def holm_corrected(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979, Scand. J. Stat. 6:65).

    Used where something is said of some out of many: "this baseline is better", "this class became worse". Where *all*
    have to be beaten, no correction is due: who beats all has passed a test of the full level against each, and the one
    that is in truth not beaten stops it as often as if it stood alone (intersection-union: Berger 1982,
    Technometrics 24:295).
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, p_values[number] * (len(p_values) - rank)))
        corrected[number] = least
    return corrected
