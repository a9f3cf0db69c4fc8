"""Laws of comparisons: paired, honest where there is little to see, and corrected where many are asked."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.metrics.classification import macro_f1_statistic
from pipeline.stats.bootstrap import percentile_interval
from pipeline.stats.paired_comparison import (
    Comparison,
    bootstrap_means,
    bootstrap_p_value,
    compare_scores,
    compare_statistics,
    holm_corrected,
    standard_deviation,
)
from pipeline.stats.paired_proportions import mcnemar_p_value, tango_interval
from tests.support.comparisons import TERMS

MANY = replace(TERMS, resamples=2000)


def test_a_comparison_is_paired() -> None:
    """Row by row a little better is significantly better, though the rows themselves differ far more than that."""
    than = np.random.default_rng(3).random(60)
    found = compare_scores("chrf", than + np.random.default_rng(4).normal(0.05, 0.02, 60), than, MANY)
    assert 0.04 < found.low < found.difference < found.high < 0.06
    assert (found.metric, found.n, found.p_value, found.method) == ("chrf", 60, 2 / 2001, "bootstrap")


def test_right_and_wrong_have_mcnemars_p_value_and_the_scores_interval() -> None:
    """Where rows are right or wrong nothing is drawn: the seed changes nothing, and swapped arms give the mirror."""
    better, than = np.array([1.0] * 9 + [0.0] * 11), np.array([0.0] * 8 + [1.0] * 2 + [0.0] * 10)
    found = compare_scores("accuracy", better, than, TERMS)
    assert (found.better, found.worse, found.difference) == (8, 1, pytest.approx(7 / 20))
    assert found.p_value == pytest.approx(float(mcnemar_p_value(8, 1))) == pytest.approx(20 / 512)
    assert (found.low, found.high) == tuple(map(float, tango_interval(8, 1, 20, 0.95)))
    assert compare_scores("accuracy", better, than, replace(TERMS, seed=2)) == found
    turned = asdict(found.reversed())
    assert {name: value for name, value in asdict(compare_scores("accuracy", than, better, TERMS)).items()
            if name != "p_alike"} == pytest.approx({k: v for k, v in turned.items() if k != "p_alike"})  # fmt: skip


@pytest.mark.parametrize("scores", [np.array([0.0, 1.0] * 40), np.random.default_rng(3).random(80)])
def test_a_surer_comparison_has_a_wider_interval(scores: np.ndarray) -> None:
    """The gate's own confidence sets the interval of a comparison."""
    wide, narrow = (
        compare_scores("chrf", scores, np.zeros(80), replace(TERMS, confidence=confidence))
        for confidence in (0.99, 0.8)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_more_seeds_and_more_draws_are_other_draws() -> None:
    """Scores with degrees follow their seed and the number of their draws, and nothing else."""
    scores, none = np.random.default_rng(3).random(50), np.zeros(50)
    assert compare_scores("chrf", scores, none, TERMS) == compare_scores("chrf", scores, none, TERMS)
    assert compare_scores("chrf", scores, none, TERMS) != compare_scores("chrf", scores, none, replace(TERMS, seed=2))
    assert compare_scores("chrf", scores, none, TERMS) != compare_scores(
        "chrf", scores, none, replace(TERMS, resamples=300)
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1.0] * 60, [1.0] * 60), ([0.0] * 60, [0.0] * 60), ([1.0], [0.0]), ([0.5], [0.5]), ([0.4], [0.5]),
        ([0.7] * 60, [0.7] * 60), ([0.7] * 60, [0.6] * 60), ([0.7] * 59 + [0.9], [0.7] * 60),
    ],
)  # fmt: skip
def test_nothing_to_see_is_no_certainty(first: list[float], second: list[float]) -> None:
    """All right, all alike, one row, every row as much better: no interval is without width, no spread is zero."""
    found = compare_scores("chrf", np.array(first), np.array(second), TERMS)
    assert found.low <= found.difference <= found.high
    assert found.high - found.low > 0.001
    assert found.spread > 0
    if first == second:
        assert found.low < -0.005 < 0.005 < found.high
        assert found.p_value > 0.9


def test_one_row_proves_nothing() -> None:
    """However large its difference, a single row leaves both signs open."""
    found = compare_scores("chrf", np.array([0.9]), np.array([0.1]), MANY)
    assert found.low == pytest.approx(-1.0)
    assert found.p_value > 0.3


@pytest.mark.parametrize(
    ("shape", "n"), [("even", 20), ("even", 60), ("skewed", 60), ("few", 60), ("few", 175), ("rough", 20)]
)
def test_the_interval_of_scores_with_degrees_covers_what_it_promises(shape: str, n: int) -> None:
    """Over 300 seeded samples of differences that are even, skewed, rough, or zero in 85 rows of 100."""
    random = np.random.default_rng(5)

    def drawn(size: int) -> np.ndarray:
        if shape == "even":
            return random.normal(0.03, 0.2, size).clip(-1, 1)
        if shape == "rough":
            return random.beta(3, 2, size) - random.beta(2, 2, size)
        if shape == "few":
            return np.where(random.random(size) < 0.15, random.normal(0.1, 0.3, size).clip(-1, 1), 0.0)
        return np.where(random.random(size) < 0.1, random.beta(2, 2, size), random.normal(0, 0.05, size))

    truth = drawn(2_000_000).mean()
    ends = [percentile_interval(bootstrap_means(drawn(n), 600, seed), 0.95) for seed in range(300)]
    covered = np.mean([low <= truth <= high for low, high in ends])
    assert 0.91 <= covered <= 0.99


def test_without_the_rows_that_were_not_seen_a_bootstrap_covers_too_seldom() -> None:
    """Why half a row stands on either side: of 20 rows of which one in 20 differs, most samples show next to none."""
    random = np.random.default_rng(5)
    samples = [np.where(random.random(20) < 0.05, random.normal(0.1, 0.3, 20), 0.0) for _ in range(300)]
    plain = [percentile_interval(one[random.integers(0, 20, (600, 20))].mean(axis=1), 0.95) for one in samples]
    ours = [percentile_interval(bootstrap_means(one, 600, 1), 0.95) for one in samples]
    covers = [np.mean([low <= 0.005 <= high for low, high in ends]) for ends in (plain, ours)]
    assert covers[0] < 0.6
    assert covers[1] > 0.9


def test_a_mean_of_many_good_rows_has_the_normal_interval() -> None:
    """Where all rows differ and there are many, the rows that were not seen change next to nothing."""
    differences = np.random.default_rng(3).normal(0.02, 0.2, 2000)
    low, high = percentile_interval(bootstrap_means(differences, 2000, 1), 0.95)
    error = 1.96 * differences.std() / math.sqrt(2000)
    assert (low, high) == pytest.approx((differences.mean() - error, differences.mean() + error), abs=error / 8)
    assert standard_deviation(differences) == pytest.approx(differences.std(), rel=0.02)


def test_equal_scores_with_degrees_are_seldom_called_different() -> None:
    """Over 400 seeded samples of 60 rows without a difference, p is at most 0.05 in about 5 of 100, not more."""
    random = np.random.default_rng(7)
    p_values = [bootstrap_p_value(bootstrap_means(random.normal(0, 0.2, 60), 400, seed)) for seed in range(400)]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + 1.645 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    ("draws", "p_value"),
    [([1.0] * 99, 0.02), ([-1.0] * 99, 0.02), ([0.0] * 99, 1.0), ([1.0] * 90 + [-1.0] * 9, 0.2), ([1.0, -1.0], 1.0)],
)
def test_a_p_value_of_draws_is_never_below_what_their_number_can_show(draws: list[float], p_value: float) -> None:
    """Twice the smaller tail, the rows themselves counted as one draw more, at most 1."""
    assert bootstrap_p_value(np.array(draws)) == pytest.approx(p_value)


def test_as_good_is_a_test_of_its_own_to_one_side() -> None:
    """It is sure that an arm is not worse by a margin only if the whole interval is below it; more is welcome."""
    tuned = np.array([1.0] * 400 + [0.0] * 200)
    same = compare_scores("accuracy", tuned, tuned, replace(TERMS, non_inferiority_margin=0.02))
    assert same.high < 0.02
    assert same.p_alike < 0.025
    assert compare_scores("accuracy", tuned, tuned, replace(TERMS, non_inferiority_margin=0.005)).p_alike > 0.025
    ahead = compare_scores("accuracy", np.zeros(600), tuned, replace(TERMS, non_inferiority_margin=0.0))
    assert ahead.p_alike < 1e-9
    rough = np.random.default_rng(1).normal(-0.1, 0.2, 400)
    assert compare_scores("chrf", rough, np.zeros(400), replace(MANY, non_inferiority_margin=0.02)).p_alike == 1 / 2001


def test_macro_f1_is_compared_on_the_same_draws() -> None:
    """The difference is that of the two values; the same answers give none, with a width all the same."""
    expected = [*"aabbccddee"] * 6
    first = [*"aabbccddea"] * 6
    second = [*"abbbccdaee"] * 3 + [*"aaabccddee"] * 3
    one, other = macro_f1_statistic(expected, first), macro_f1_statistic(expected, second)
    found = compare_statistics("macro_f1", one, other, 60, MANY)
    every = np.arange(60)[None]
    assert found.difference == pytest.approx(float((one(every) - other(every))[0]))
    assert found.low < found.difference < found.high
    same = compare_statistics("macro_f1", one, one, 60, TERMS)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    assert (same.low, same.high) == pytest.approx(tuple(map(float, tango_interval(0, 0, 60, 0.95))))


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.04], [0.04]), ([], []), ([0.5, 0.6], [1.0, 1.0]),
        ([0.01, 0.01], [0.02, 0.02]), ([0.001, 0.2, 0.012, 0.013], [0.004, 0.2, 0.036, 0.036]),
    ],
)  # fmt: skip
def test_p_values_are_corrected_as_holm_wrote(raw: list[float], wanted: list[float]) -> None:
    """The smallest times their number, the next times one less, never falling, never above 1; order is kept."""
    assert holm_corrected(raw) == pytest.approx(wanted)


def test_a_correction_keeps_false_claims_rare() -> None:
    """Of eight baselines that are all alike, some is called different at most 5 times in 100; uncorrected 34 times."""
    random = np.random.default_rng(2)
    p_values = 2 * norm.sf(np.abs(random.normal(size=(2000, 8))))
    claims = [min(holm_corrected(list(row))) <= 0.05 for row in p_values]
    assert np.mean(claims) <= 0.05 + 1.645 * math.sqrt(0.05 * 0.95 / 2000)
    assert (p_values.min(axis=1) <= 0.05).mean() > 0.3


def test_a_comparison_is_read_back_as_it_was_written() -> None:
    """Whatever else stands beside it in metrics.json."""
    found = compare_scores("accuracy", np.array([1.0, 0.0, 1.0]), np.zeros(3), TERMS)
    assert Comparison.from_dict({**asdict(found), "classes": {}}) == found


def test_memory_bounds_the_portions_and_not_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn in many portions, the draws are the same numbers."""
    differences = np.random.default_rng(1).normal(size=30)
    whole = bootstrap_means(differences, 100, 1)
    monkeypatch.setattr("pipeline.stats.bootstrap.BOOTSTRAP_NUMBERS", 90)
    assert bootstrap_means(differences, 100, 1).tolist() == whole.tolist()
