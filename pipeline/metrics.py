"""Numbers with their n and their interval, and comparisons paired on the same rows."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import CHRF
from scipy.stats import binomtest

from pipeline.params import Rule

Scores = NDArray[np.float64]

CONFIDENCE = 0.95
"""Of every interval shown; the gate has its own in params."""


@dataclass(frozen=True)
class Metric:
    """A number, how many rows it is of, and its 95 % interval."""

    value: float
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How much better one arm is than another on the same rows: paired difference, interval, p-value.

    `p_value` is two-sided: exact McNemar where rows are right or wrong, else from the bootstrap.
    """

    metric: str
    difference: float
    n: int
    low: float
    high: float
    p_value: float


def share(hits: Sequence[bool] | Scores) -> Metric:
    """Share of rows that are so, with the Wilson score interval (Wilson 1927).

    Raises:
        ValueError: If there are no rows; a share of nothing is no number.
    """
    if len(hits) == 0:
        raise ValueError("a metric needs at least one row")
    found = binomtest(int(sum(bool(hit) for hit in hits)), len(hits)).proportion_ci(CONFIDENCE, method="wilson")
    return Metric(float(np.mean(hits)), len(hits), float(found.low), float(found.high))


def resampled(statistic: Callable[[NDArray[np.intp]], float], n: int, resamples: int, seed: int) -> Scores:
    """Bootstrap a statistic of rows (Efron 1979): its value on *resamples* draws of n rows with replacement."""
    random = np.random.default_rng(seed)
    return np.array([statistic(random.integers(0, n, n)) for _ in range(resamples)])


def interval(draws: Scores, confidence: float) -> tuple[float, float]:
    """Percentile interval of bootstrap draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def bootstrapped(statistic: Callable[[NDArray[np.intp]], float], n: int, resamples: int, seed: int) -> Metric:
    """A statistic of n rows with its percentile bootstrap interval."""
    low, high = interval(resampled(statistic, n, resamples, seed), CONFIDENCE)
    return Metric(statistic(np.arange(n)), n, low, high)


def macro_f1(expected: Sequence[str], got: Sequence[str], resamples: int, seed: int) -> Metric:
    """Mean over the labels, each counting the same, of the harmonic mean of precision and recall.

    The labels are those that occur among the expected ones; an interval's draw takes those that it drew.
    """
    labels = sorted(set(expected) | set(got))
    number = {label: place for place, label in enumerate(labels)}
    truth = np.array([number[label] for label in expected])
    answers = np.array([number[label] for label in got])

    def statistic(rows: NDArray[np.intp]) -> float:
        true, said = truth[rows], answers[rows]
        hits = np.bincount(true[true == said], minlength=len(labels))
        wanted = np.bincount(true, minlength=len(labels))
        given = np.bincount(said, minlength=len(labels))
        present = wanted > 0
        return float(np.mean(2 * hits[present] / (wanted + given)[present]))

    return bootstrapped(statistic, len(truth), resamples, seed)


def chrf_of_rows(expected: Sequence[str], got: Sequence[str]) -> Scores:
    """Character n-gram F-score (Popovic 2015, by sacrebleu) of each row, from 0 to 1."""
    scorer = CHRF()
    return np.array(
        [scorer.sentence_score(answer, [want]).score / 100 for want, answer in zip(expected, got, strict=True)]
    )


def mean(scores: Scores, resamples: int, seed: int) -> Metric:
    """Mean of row scores with its bootstrap interval."""
    return bootstrapped(lambda rows: float(scores[rows].mean()), len(scores), resamples, seed)


def keeps(rule: Rule, text: str) -> bool:
    """Say whether a text keeps a house rule."""
    words = len(text.split())
    return (
        (rule.must_match is None or re.search(rule.must_match, text) is not None)
        and (rule.must_not_match is None or re.search(rule.must_not_match, text) is None)
        and (rule.min_words is None or words >= rule.min_words)
        and (rule.max_words is None or words <= rule.max_words)
    )


def compare(metric: str, better: Scores, than: Scores, *, resamples: int, seed: int, confidence: float) -> Comparison:
    """Compare two arms by the scores of the same rows."""
    differences = better - than
    draws = resampled(lambda rows: float(differences[rows].mean()), len(differences), resamples, seed)
    low, high = interval(draws, confidence)
    binary = set(np.unique(better)) | set(np.unique(than)) <= {0.0, 1.0}
    p_value = mcnemar(better, than) if binary else sign_tail(draws)
    return Comparison(metric, float(differences.mean()), len(differences), low, high, p_value)


def mcnemar(first: Scores, second: Scores) -> float:
    """Exact two-sided McNemar test (McNemar 1947) on rows that are right (1) or wrong (0)."""
    only_first = int(((first == 1) & (second == 0)).sum())
    only_second = int(((first == 0) & (second == 1)).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def sign_tail(draws: Scores) -> float:
    """Two-sided p-value of "no difference" from bootstrap draws of it; never below what their number can show."""
    least = 1 / (len(draws) + 1)
    tail = min((draws <= 0).mean(), (draws >= 0).mean())
    return float(min(1.0, max(2 * tail, least)))
