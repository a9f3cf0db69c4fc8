"""Laws of rows that one arm has right and the other wrong: known values, and what an interval and a test promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from pipeline.stats.paired_proportions import (
    mcnemar_p_value,
    one_sided_p_value,
    significantly_better,
    tango_interval,
    tango_score,
    z_value,
)
from tests.support.properties import PROPERTY


@pytest.mark.parametrize(
    ("better", "worse", "p_value"), [(1, 9, 22 / 1024), (9, 1, 22 / 1024), (6, 0, 2 / 64), (4, 4, 1.0), (0, 0, 1.0)]
)
def test_mcnemar_is_the_exact_test_by_hand(better: int, worse: int, p_value: float) -> None:
    """The p-value is twice the tail of a fair coin over the rows that only one arm has right."""
    assert mcnemar_p_value(better, worse) == pytest.approx(p_value)


@pytest.mark.parametrize(("better", "worse"), [(0, 1), (3, 8), (15, 15), (12, 40)])
def test_mcnemar_is_scipys_exact_binomial_test(better: int, worse: int) -> None:
    """Two-sided and one-sided, both are the test of a share of one half."""
    assert mcnemar_p_value(better, worse) == pytest.approx(binomtest(better, better + worse).pvalue)
    one_sided = binomtest(worse, better + worse, alternative="greater").pvalue
    assert one_sided_p_value(better, worse) == pytest.approx(one_sided)


def test_no_p_value_is_zero() -> None:
    """However many rows speak for one arm, chance is not ruled out."""
    assert 0 < mcnemar_p_value(3000, 0) < 1e-300


def test_against_no_difference_the_score_is_mcnemars_statistic() -> None:
    """Its square is (b - c)^2 / (b + c), whatever the number of rows."""
    assert tango_score(14, 5, 60, 0.0) == pytest.approx(9 / math.sqrt(19))
    assert tango_score(14, 5, 6000, 0.0) == pytest.approx(9 / math.sqrt(19))


def test_the_interval_is_tangos() -> None:
    """The example of Fagerland, Lydersen and Laake (Stat. Med. 2014): 1 and 7 of 21 rows differ."""
    low, high = tango_interval(1, 7, 21, 0.95)
    assert (float(low), float(high)) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize(("better", "worse", "n"), [(8, 2, 50), (0, 7, 30), (22, 15, 175), (3, 3, 9)])
def test_an_end_of_the_interval_is_where_the_likelihood_refuses(better: int, worse: int, n: int) -> None:
    """Written out anew: at each end the score, with the most likely shares under that difference, is 1.96."""
    for end in tango_interval(better, worse, n, 0.95):
        shares = np.linspace(max(0.0, -end) + 1e-9, (1 - end) / 2 - 1e-9, 200_001)  # of rows that only the second has
        likely = better * np.log(shares + end) + worse * np.log(shares) + (n - better - worse) * np.log1p(
            -2 * shares - end
        )  # fmt: skip
        lost = shares[np.argmax(likely)]
        error = math.sqrt(n * (2 * lost + end * (1 - end)))
        assert abs((better - worse - n * end) / error) == pytest.approx(1.96, abs=2e-3)


@pytest.mark.parametrize("n", [1, 2, 10, 60, 175])
def test_where_no_row_differs_the_interval_is_wide(n: int) -> None:
    """All right, all wrong or all alike: the difference may be z^2 / (n + z^2) either way, never nothing."""
    low, high = tango_interval(0, 0, n, 0.95)
    reach = 1.959964**2 / (n + 1.959964**2)
    assert (float(low), float(high)) == pytest.approx((-reach, reach), abs=1e-6)


def test_one_row_says_next_to_nothing() -> None:
    """Right against wrong on a single row leaves everything open but the farthest losses."""
    low, high = tango_interval(1, 0, 1, 0.95)
    assert low < -0.5
    assert high == pytest.approx(1.0)


def test_the_interval_turns_with_its_arms_and_narrows_with_rows() -> None:
    """Swapped arms give the mirrored interval; ten times the rows a third of the width; less confidence less width."""
    low, high = tango_interval(9, 3, 60, 0.95)
    turned = tango_interval(3, 9, 60, 0.95)
    assert (float(turned[0]), float(turned[1])) == pytest.approx((-float(high), -float(low)))
    more = tango_interval(90, 30, 600, 0.95)
    assert float(more[1] - more[0]) == pytest.approx(float(high - low) / math.sqrt(10), rel=0.1)
    assert np.subtract(*tango_interval(9, 3, 60, 0.8)[::-1]) < high - low


def chances(n: int, better: float, worse: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of counts that n rows may bring, and how often it comes."""
    first, second = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    possible = first + second <= n
    b, c = first[possible], second[possible]
    return b, c, binom.pmf(b + c, n, better + worse) * binom.pmf(b, b + c, better / (better + worse))


@pytest.mark.parametrize("n", [20, 60, 175])
@pytest.mark.parametrize(
    ("better", "worse"), [(0.025, 0.025), (0.03, 0.01), (0.07, 0.03), (0.1, 0.1), (0.2, 0.1), (0.55, 0.05)]
)
def test_the_interval_covers_what_it_promises(n: int, better: float, worse: float) -> None:
    """Summed over all that may come, not simulated: at least 94 of 100, with few rows and with few that differ."""
    b, c, chance = chances(n, better, worse)
    low, high = tango_interval(b, c, n, 0.95)
    covered = chance[(low <= better - worse) & (better - worse <= high)].sum()
    assert chance.sum() == pytest.approx(1.0)
    assert 0.938 <= covered <= 1.0
    if n * (better + worse) > 10:
        assert covered <= 0.965


def test_where_few_rows_differ_a_bootstrap_would_cover_too_seldom() -> None:
    """Why the interval is not drawn: with 20 rows of which 4 in 100 differ, most draws see none of them."""
    random = np.random.default_rng(1)
    seen = random.multinomial(20, [0.03, 0.01, 0.96], 1000)
    draws = random.multinomial(20, seen / 20, (400, 1000))
    low, high = np.quantile((draws[..., 0] - draws[..., 1]) / 20, [0.025, 0.975], axis=0)
    ours = tango_interval(seen[:, 0], seen[:, 1], 20, 0.95)
    assert ((low <= 0.02) & (high >= 0.02)).mean() < 0.5
    assert ((ours[0] <= 0.02) & (ours[1] >= 0.02)).mean() > 0.94


@pytest.mark.parametrize("n", [20, 60, 175])
@pytest.mark.parametrize("apart", [0.02, 0.1, 0.3, 0.6])
def test_equal_arms_are_seldom_called_surely_better(n: int, apart: float) -> None:
    """Summed over all that may come: at most 2.5 times in 100, the one side of the interval that matters."""
    b, c, chance = chances(n, apart / 2, apart / 2)
    assert chance[significantly_better(b, c, n, margin=0.0, confidence=0.95)].sum() <= 0.025


@pytest.mark.parametrize(("margin", "n"), [(0.05, 60), (0.05, 175), (-0.05, 60), (-0.05, 175)])
def test_a_difference_that_is_the_margin_is_seldom_called_above_it(margin: float, n: int) -> None:
    """Where the truth lies on the margin, it is called above it about as often as one side of the interval allows."""
    b, c, chance = chances(n, 0.15 + margin / 2, 0.15 - margin / 2)
    assert chance[significantly_better(b, c, n, margin=margin, confidence=0.95)].sum() <= 0.03


def test_a_claim_to_be_better_passes_both_tests() -> None:
    """Five rows to none lie above zero by the score, but a fair coin does that once in 16 tries; six are sure."""
    assert tango_interval(5, 0, 60, 0.95)[0] > 0
    assert not significantly_better(5, 0, 60, margin=0.0, confidence=0.95)
    assert significantly_better(6, 0, 60, margin=0.0, confidence=0.95)
    assert not significantly_better(6, 0, 60, margin=0.05, confidence=0.95)
    assert not significantly_better(0, 6, 60, margin=0.0, confidence=0.95)


@pytest.mark.parametrize(("confidence", "reach"), [(0.95, 1.95996), (0.9, 1.64485), (0.99, 2.57583)])
def test_confidence_is_standard_errors_to_either_side(confidence: float, reach: float) -> None:
    """The normal quantiles of the textbooks."""
    assert z_value(confidence) == pytest.approx(reach, abs=1e-5)


@PROPERTY
@given(n=st.integers(1, 400), data=st.data(), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_an_interval_turns_with_its_arms_and_holds_the_difference(
    n: int, data: st.DataObject, confidence: float
) -> None:
    """Arms that change places change its sign; it lies within -1 and 1; more confidence makes it no shorter."""
    better = data.draw(st.integers(0, n))
    worse = data.draw(st.integers(0, n - better))
    low, high = (float(end) for end in tango_interval(better, worse, n, confidence))
    turned = [float(end) for end in tango_interval(worse, better, n, confidence)]
    assert (low, high) == pytest.approx((-turned[1], -turned[0]), abs=1e-9)
    assert -1 - 1e-9 <= low <= (better - worse) / n + 1e-9
    assert (better - worse) / n - 1e-9 <= high <= 1 + 1e-9
    wider = [float(end) for end in tango_interval(better, worse, n, 0.999)]
    assert wider[0] <= low + 1e-9
    assert high <= wider[1] + 1e-9
