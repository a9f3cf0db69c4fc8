"""Laws of the numbers: known values, other people's computations, and what an interval promises."""

import math
from functools import cache

import numpy as np
import pytest
from sacrebleu import sentence_chrf
from sklearn.metrics import f1_score

from pipeline.metrics import (
    Metric,
    bootstrapped,
    chrf_of_rows,
    interval,
    keeps,
    macro_f1,
    mean,
    resampled,
    share,
)
from pipeline.params import Rule

EXPECTED = [*["a"] * 12, *["b"] * 7, *["c"] * 3, "d"]
GOT = [*["a"] * 8, *["b"] * 4, *["b"] * 5, *["x"] * 2, *["c"] * 2, "a", "c"]


def first(hits: int, n: int) -> list[bool]:
    """Rows of which the first are hits."""
    return [True] * hits + [False] * (n - hits)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_wilsons(hits: int, n: int, low: float, high: float) -> None:
    """The interval is that of Newcombe (1998), table I, method 3, on his four examples."""
    found = share(first(hits, n))
    assert (found.value, found.n) == (hits / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (3, 7), (50, 100), (3079, 3080)])
def test_the_interval_of_a_share_is_the_textbook_formula(hits: int, n: int) -> None:
    """Centre and half-width are those of Wilson (1927), written out."""
    z, p = 1.959963984540054, hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    found = share(first(hits, n))
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-12)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.85, 0.97])
def test_the_interval_of_a_share_covers_what_it_promises(p: float) -> None:
    """Over four thousand seeded samples of 60 rows the interval holds the true share about 95 times in a hundred."""
    found = cache(lambda hits: share(first(hits, 60)))
    samples = np.random.default_rng(1).binomial(60, p, 4000)
    covered = np.mean([found(int(hits)).low <= p <= found(int(hits)).high for hits in samples])
    assert 0.92 <= covered <= 0.98


def test_a_share_of_nothing_is_no_number() -> None:
    """Without rows there is no share, and none is made up."""
    with pytest.raises(ValueError, match=r"^a metric needs at least one row$"):
        share([])


def test_macro_f1_is_that_of_scikit_learn_over_the_expected_labels() -> None:
    """Each expected label counts the same; one that was only answered has no score of its own but costs the others."""
    wanted = f1_score(EXPECTED, GOT, labels=sorted(set(EXPECTED)), average="macro", zero_division=0)
    found = macro_f1(EXPECTED, GOT, 200, 1)
    assert (found.value, found.n) == (pytest.approx(wanted), len(EXPECTED))


def test_the_interval_of_macro_f1_is_the_percentile_interval_of_resampled_rows() -> None:
    """Computed again with scikit-learn on the same draws, low and high are the same."""
    random, n = np.random.default_rng(7), len(EXPECTED)
    draws = []
    for _ in range(40):
        rows = random.integers(0, n, n)
        expected, got = [EXPECTED[row] for row in rows], [GOT[row] for row in rows]
        draws.append(f1_score(expected, got, labels=sorted(set(expected)), average="macro", zero_division=0))
    found = macro_f1(EXPECTED, GOT, 40, 7)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def test_chrf_of_a_row_is_that_of_sacrebleu() -> None:
    """Each row has the sentence score of sacrebleu, brought from percent to a share."""
    expected = ["the sky is blue", "", "a rose", "grass"]
    got = ["the sky is green", "something", "a rose", ""]
    wanted = [sentence_chrf(answer, [want]).score / 100 for want, answer in zip(expected, got, strict=True)]
    scores = chrf_of_rows(expected, got)
    assert scores.tolist() == pytest.approx(wanted)
    assert scores[2] == pytest.approx(1.0)
    assert 0.4 < scores[0] < 1.0


def test_rows_and_answers_go_in_pairs() -> None:
    """An answer too few is a fault of the program, never a shorter mean."""
    with pytest.raises(ValueError, match="shorter"):
        chrf_of_rows(["one", "two"], ["one"])


def test_a_bootstrap_follows_its_seed() -> None:
    """The same seed draws the same rows, another seed others."""
    scores = np.random.default_rng(3).random(50)
    assert mean(scores, 200, 1) == mean(scores, 200, 1)
    assert mean(scores, 200, 1) != mean(scores, 200, 2)
    assert mean(scores, 200, 1) != mean(scores, 300, 1)


def test_a_bootstrap_draws_as_many_rows_with_replacement() -> None:
    """Every draw has n rows, some of them twice, and there are as many draws as asked."""
    seen: list[tuple[int, int]] = []

    def statistic(rows: np.ndarray) -> float:
        seen.append((len(rows), len(set(rows.tolist()))))
        return 0.0

    assert resampled(statistic, 40, 100, 1).tolist() == [0.0] * 100
    assert {n for n, _ in seen} == {40}
    assert 20 < np.mean([distinct for _, distinct in seen]) < 30


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    """On many well-behaved rows the bootstrap interval is the mean plus or minus 1.96 standard errors."""
    scores = np.random.default_rng(3).random(2000)
    found = mean(scores, 2000, 1)
    error = 1.96 * scores.std() / math.sqrt(2000)
    assert found.value == pytest.approx(scores.mean())
    assert (found.low, found.high) == pytest.approx((scores.mean() - error, scores.mean() + error), abs=error / 5)


def test_an_interval_leaves_the_same_tail_on_either_side() -> None:
    """Of evenly spread draws, a 90 % interval leaves out a twentieth at each end."""
    assert interval(np.arange(101) / 100, 0.9) == pytest.approx((0.05, 0.95))


def test_a_statistic_is_of_all_rows_in_their_order() -> None:
    """The value shown is that of the rows themselves, not of a draw."""
    found = bootstrapped(lambda rows: float(rows[-1]), 9, 100, 1)
    assert (found.value, found.n) == (8.0, 9)
    assert isinstance(found, Metric)


@pytest.mark.parametrize(
    ("rule", "kept", "broken"),
    [
        ({"must_match": "^Dear "}, "Dear you", "Hello, Dear you"),
        ({"must_match": "team$"}, "the team", "team work"),
        ({"must_not_match": "(?i)sorry"}, "Thank you", "we are SORRY"),
        ({"min_words": 3}, "one two three", "one  two"),
        ({"max_words": 2}, "one\n two", "one two three"),
        ({"must_match": "a", "max_words": 1}, "a", "a a"),
    ],
)
def test_a_rule_is_kept_or_broken(rule: dict[str, str | int], kept: str, broken: str) -> None:
    """A text keeps a rule only if it keeps every part of it; patterns are searched anywhere in it."""
    asked = Rule(name="a-rule", **rule)
    assert (keeps(asked, kept), keeps(asked, broken)) == (True, False)
