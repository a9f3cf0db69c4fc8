"""Laws of what a test set can show: simulated, held against the textbook, and turned round."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.register.power import TARGET_POWER, exact_power, max_losses, minimum_detectable, power_of, required_rows
from pipeline.stats.paired_comparison import Comparison, compare_scores
from pipeline.stats.paired_proportions import significantly_better
from tests.support.comparisons import TERMS, metrics

GATE = {"margin": 0.0, "confidence": 0.95}


def seen(n: int, better: int, worse: int) -> Comparison:
    """A comparison of rows that are right or wrong."""
    return Comparison.from_dict(metrics(n, n // 2, {"other": (better, worse)})["comparisons"]["other"])


def connor(n: int, better: float, worse: float) -> float:
    """The normal approximation to the power of McNemar's test (Connor 1987), two-sided at 5 %."""
    difference, apart = better - worse, better + worse
    return float(
        norm.cdf((abs(difference) * math.sqrt(n) - 1.96 * math.sqrt(apart)) / math.sqrt(apart - difference**2))
    )


@pytest.mark.parametrize("n", [60, 175])
@pytest.mark.parametrize("margin", [0.0, 0.03])
def test_the_power_curve_is_what_simulation_finds(n: int, margin: float) -> None:
    """At true differences of 0 to 20 points, 4,000 seeded test sets each are significant as often as it says."""
    random = np.random.default_rng(3)
    curve = []
    for difference in (0.0, 0.03, 0.06, 0.1, 0.15, 0.2):
        better, worse = 0.1 + difference, 0.1
        draws = random.multinomial(n, [better, worse, 1 - better - worse], 4000)
        shown = significantly_better(draws[:, 0], draws[:, 1], n, margin=margin, confidence=0.95).mean()
        said = exact_power(n, better, worse, margin=margin, confidence=0.95)
        curve.append(said)
        assert abs(shown - said) < 4 * math.sqrt(max(said * (1 - said), 1e-4) / 4000)
    assert curve == sorted(curve)
    assert curve[0] <= 0.025


@pytest.mark.parametrize(("n", "better", "worse"), [(300, 0.12, 0.06), (1000, 0.1, 0.07), (3080, 0.06, 0.045)])
def test_with_many_rows_the_power_is_near_the_textbooks(n: int, better: float, worse: float) -> None:
    """The exact test gives away a little to Connor's normal approximation, less the more rows differ."""
    said = exact_power(n, better, worse, **GATE)
    assert connor(n, better, worse) - 0.05 < said < connor(n, better, worse) + 0.01


def test_of_scores_with_degrees_the_power_is_that_of_the_normal_test() -> None:
    """Simulated with the real comparison: a difference of 0.05 with a spread of 0.2 in 100 rows."""
    random = np.random.default_rng(3)
    found = compare_scores("chrf", random.normal(0.05, 0.2, 5000), np.zeros(5000), TERMS)
    said = power_of(found, 100, 0.05, **GATE)
    samples = (compare_scores("chrf", random.normal(0.05, 0.2, 100), np.zeros(100), TERMS) for _ in range(400))
    shown = np.mean([one.low > 0 for one in samples])
    assert said == pytest.approx(norm.cdf(2.5 - 1.96), abs=0.03)
    assert shown == pytest.approx(said, abs=4 * math.sqrt(0.2 / 400))


def test_of_rows_that_differ_so_many_may_be_lost() -> None:
    """Of six all have to be won, of nine one may be lost, of five it is never enough: the exact test by hand."""
    found = max_losses(np.array([0, 5, 6, 8, 9, 12, 20]), 175, **GATE)
    assert found.tolist() == [-1, -1, 0, 0, 1, 2, 5]


def test_chances_add_up_to_one_where_everything_shows() -> None:
    """Where the difference is as large as it can be, it is missed only by too few rows."""
    assert exact_power(6, 1.0, 0.0, **GATE) == pytest.approx(1.0)
    assert exact_power(5, 1.0, 0.0, **GATE) == 0.0
    assert exact_power(50, 0.0, 0.0, margin=-0.1, confidence=0.95) == pytest.approx(1.0)
    assert exact_power(50, 0.0, 0.0, margin=-0.01, confidence=0.95) == 0.0


@pytest.mark.parametrize(("n", "better", "worse"), [(175, 22, 15), (60, 3, 3), (60, 0, 0), (3080, 200, 180)])
@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_the_smallest_difference_shows_four_times_in_five(n: int, better: int, worse: int, margin: float) -> None:
    """At that difference the chance is 80 %, a little below it is less."""
    found = seen(n, better, worse)
    least = minimum_detectable(found, margin=margin, confidence=0.95)
    assert least is not None
    assert power_of(found, n, least, margin=margin, confidence=0.95) >= TARGET_POWER
    assert power_of(found, n, least - 0.002, margin=margin, confidence=0.95) < TARGET_POWER
    assert least > margin


def test_more_rows_show_smaller_differences() -> None:
    """And fewer than six rows show none at all."""
    least = [minimum_detectable(seen(n, n // 8, n // 12), **GATE) for n in (60, 175, 700, 3000)]
    assert all(one is not None for one in least)
    assert least == sorted(least, key=lambda one: -(one or 0))
    assert minimum_detectable(seen(5, 2, 0), **GATE) is None
    assert minimum_detectable(seen(6, 2, 0), **GATE) is not None


def test_so_many_rows_show_the_difference_that_was_seen() -> None:
    """With the rows that it asks for the chance is 80 %, and with nine tenths of them less."""
    found = seen(175, 22, 15)
    n = required_rows(found, **GATE)
    assert n is not None
    assert power_of(found, n, found.difference, **GATE) >= TARGET_POWER
    assert power_of(found, n * 9 // 10, found.difference, **GATE) < TARGET_POWER
    apart, difference = 37 / 175, 7 / 175
    textbook = (1.96 * math.sqrt(apart) + 0.8416 * math.sqrt(apart - difference**2)) ** 2 / difference**2
    assert n == pytest.approx(textbook, rel=0.06)


def test_rows_of_scores_with_degrees_are_the_textbooks() -> None:
    """As many as the square of 2.8 standard deviations over the difference."""
    found = compare_scores("chrf", np.random.default_rng(3).normal(0.02, 0.2, 100), np.zeros(100), TERMS)
    n = required_rows(found, **GATE)
    assert n == pytest.approx((2.8016 * found.spread / found.difference) ** 2, rel=0.01, abs=1)


def test_what_is_not_above_the_margin_no_rows_can_show() -> None:
    """A tie, a loss, a gain that is the margin or less; and what takes over a million rows is not told."""
    assert required_rows(seen(175, 15, 15), **GATE) is None
    assert required_rows(seen(175, 15, 22), **GATE) is None
    assert required_rows(seen(100, 12, 10), margin=0.02, confidence=0.95) is None
    assert required_rows(seen(100, 13, 10), margin=0.0299999, confidence=0.95) is None


def test_how_many_rows_show_that_two_arms_are_as_good() -> None:
    """Where no row differs, n rows leave z^2 / (n + z^2) open: 189 rows leave less than two points."""
    assert required_rows(seen(60, 0, 0), margin=-0.02, confidence=0.95) == 189
    assert minimum_detectable(seen(189, 0, 0), margin=-0.02, confidence=0.95) == pytest.approx(0.0, abs=0.005)
