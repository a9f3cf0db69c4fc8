"""Numbers with their n and their interval."""

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
