"""Laws of the numbers: known values, other people's computations, and what an interval promises."""

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.metric import (
    Metric,
    bootstrap_metric,
    count_by_kind,
    mean_metric,
    metric_from_draws,
    proportion,
    wilson_interval,
)
from pipeline.stats.bootstrap import bootstrap_draws, percentile_interval
from tests.support.properties import PROPERTY


def first(hits: int, n: int) -> list[bool]:
    """Rows of which the first are hits."""
    return [True] * hits + [False] * (n - hits)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_wilsons(hits: int, n: int, low: float, high: float) -> None:
    """The interval is that of Newcombe (1998), table I, method 3, on his four examples."""
    found = proportion(first(hits, n))
    assert (found.value, found.n) == (hits / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (3, 7), (50, 100), (3079, 3080)])
def test_the_interval_of_a_share_is_the_textbook_formula(hits: int, n: int) -> None:
    """Centre and half-width are those of Wilson (1927), written out."""
    z, p = 1.959963984540054, hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    found = proportion(first(hits, n))
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-12)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.85, 0.97])
def test_the_interval_of_a_share_covers_what_it_promises(p: float) -> None:
    """Over four thousand seeded samples of 60 rows the interval holds the true share about 95 times in a hundred."""
    found = cache(lambda hits: proportion(first(hits, 60)))
    samples = np.random.default_rng(1).binomial(60, p, 4000)
    covered = np.mean([found(int(hits)).low <= p <= found(int(hits)).high for hits in samples])
    assert 0.92 <= covered <= 0.98


def test_a_share_of_nothing_is_no_number() -> None:
    """Without rows there is no share, and none is made up."""
    with pytest.raises(ValueError, match=r"^a metric needs at least one row$"):
        proportion([])


def test_a_bootstrap_follows_its_seed() -> None:
    """The same seed draws the same rows, another seed others."""
    scores = np.random.default_rng(3).random(50)
    assert mean_metric(scores, 200, 1) == mean_metric(scores, 200, 1)
    assert mean_metric(scores, 200, 1) != mean_metric(scores, 200, 2)
    assert mean_metric(scores, 200, 1) != mean_metric(scores, 300, 1)


def test_a_bootstrap_draws_as_many_rows_with_replacement() -> None:
    """Every draw has n rows, some of them twice, and there are as many draws as asked."""
    seen: list[tuple[int, int]] = []

    def statistic(rows: np.ndarray) -> np.ndarray:
        seen.extend((len(row), len(set(row.tolist()))) for row in rows)
        return np.zeros(len(rows))

    assert bootstrap_draws(statistic, 40, 100, 1).tolist() == [0.0] * 100
    assert len(seen) == 100
    assert {n for n, _ in seen} == {40}
    assert 20 < np.mean([distinct for _, distinct in seen]) < 30


def test_how_many_draws_are_computed_at_once_changes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn a few at a time, where the rows are many, the draws are those of all at once."""
    scores = np.random.default_rng(3).random(37)
    together = bootstrap_draws(lambda rows: scores[rows].mean(axis=1), 37, 101, 1)
    monkeypatch.setattr("pipeline.stats.bootstrap.BOOTSTRAP_NUMBERS", 37 * 10)
    assert bootstrap_draws(lambda rows: scores[rows].mean(axis=1), 37, 101, 1).tolist() == together.tolist()
    monkeypatch.setattr("pipeline.stats.bootstrap.BOOTSTRAP_NUMBERS", 1)
    assert bootstrap_draws(lambda rows: scores[rows].mean(axis=1), 37, 101, 1).tolist() == together.tolist()


def test_a_mean_of_right_and_wrong_is_a_share() -> None:
    """It has Wilson's interval, not that of a bootstrap."""
    rows = np.array([1.0] * 15 + [0.0] * 133)
    assert mean_metric(rows, 200, 1) == proportion(rows)


@pytest.mark.parametrize("scores", [[0.5], [0.25] * 7, [1.0], [0.0] * 3])
def test_rows_that_are_all_alike_leave_doubt(scores: list[float]) -> None:
    """One row, or rows of one score, say little of others: the interval has a width, and holds the mean."""
    found = mean_metric(np.array(scores), 200, 1)
    assert found.value == scores[0]
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.3
    assert found == wilson_interval(scores[0], len(scores))


@pytest.mark.parametrize("n", [10, 40])
def test_wilsons_interval_covers_means_of_any_scores_from_0_to_1(n: int) -> None:
    """Of seeded samples of lopsided scores it holds the true mean at least 95 times in a hundred."""
    samples = np.random.default_rng(5).beta(0.5, 0.2, (3000, n))
    found = cache(lambda value: wilson_interval(value, n))
    covered = [found(value).low <= 0.5 / 0.7 <= found(value).high for value in samples.mean(axis=1)]
    assert np.mean(covered) >= 0.95


def test_the_order_of_the_rows_changes_no_value() -> None:
    """The same rows in another order have the same mean, n and, but for the draws, the same interval."""
    scores = np.random.default_rng(3).random(300)
    found, turned = mean_metric(scores, 2000, 1), mean_metric(scores[::-1], 2000, 1)
    assert (turned.value, turned.n) == (pytest.approx(found.value), found.n)
    assert (turned.low, turned.high) == pytest.approx((found.low, found.high), abs=0.01)


def test_tallies_count_each_draw_by_itself() -> None:
    """Rows of each kind in each draw; a row of no kind is not counted, and weights are added up."""
    kinds = np.array([[0, 0, 2], [1, 3, 3]])
    assert count_by_kind(kinds, 3).tolist() == [[2, 0, 1], [0, 1, 0]]
    assert count_by_kind(kinds, 3, np.array([[0.5, 1.0, 2.0], [4.0, 8.0, 8.0]])).tolist() == [[1.5, 0, 2], [0, 4, 0]]


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    """On many well-behaved rows the bootstrap interval is the mean plus or minus 1.96 standard errors."""
    scores = np.random.default_rng(3).random(2000)
    found = mean_metric(scores, 2000, 1)
    error = 1.96 * scores.std() / math.sqrt(2000)
    assert found.value == pytest.approx(scores.mean())
    assert (found.low, found.high) == pytest.approx((scores.mean() - error, scores.mean() + error), abs=error / 5)


def test_an_interval_leaves_the_same_tail_on_either_side() -> None:
    """Of evenly spread draws, a 90 % interval leaves out a twentieth at each end."""
    assert percentile_interval(np.arange(101) / 100, 0.9) == pytest.approx((0.05, 0.95))


def test_a_statistic_is_of_all_rows_in_their_order() -> None:
    """The value shown is that of the rows themselves, not of a draw."""
    found = bootstrap_metric(lambda rows: rows[:, -1] / 8, 9, 100, 1)
    assert (found.value, found.n) == (1.0, 9)
    assert isinstance(found, Metric)


def test_draws_that_tell_nothing_are_left_out() -> None:
    """The interval is that of the draws which have a number."""
    draws = np.array([np.nan, 0.2, 0.4, np.nan, 0.6])
    assert metric_from_draws(0.4, 3, draws) == Metric(0.4, 3, *percentile_interval(np.array([0.2, 0.4, 0.6]), 0.95))


@PROPERTY
@given(n=st.integers(1, 10_000), data=st.data())
def test_a_share_lies_in_its_interval_and_that_within_0_and_1(n: int, data: st.DataObject) -> None:
    """However few rows, and where none or all are so."""
    right = data.draw(st.integers(0, n))
    share = wilson_interval(right / n, n)
    assert 0 <= share.low <= share.value <= share.high <= 1
    assert share.n == n
