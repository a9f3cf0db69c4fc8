"""Laws of the fitted power law: it finds the law that there is, covers the truth, promises nothing of a flat curve."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.arrays import Floats
from pipeline.learning_curve.power_law import fit_growth, fit_power_law, growth_sentence

ROWS = np.array([58.0, 146.0, 292.0, 583.0])
EVEN = np.ones(4)


@pytest.mark.parametrize(("scale", "power", "floor"), [(3.0, 0.5, 0.1), (1.0, 0.2, 0.0), (20.0, 1.0, 0.3)])
def test_a_law_is_found_again(scale: float, power: float, floor: float) -> None:
    """From points that lie on it: what it has at twice the rows, to a thousandth."""
    law = fit_power_law(ROWS, (floor + scale * ROWS**-power)[None], EVEN)
    assert law.metric_at(1166)[0] == pytest.approx(1 - floor - scale * 1166**-power, abs=1e-3)


@pytest.mark.parametrize("errors", [[0.4, 0.4, 0.4, 0.4], [0.3, 0.32, 0.35, 0.4]])
def test_a_curve_that_does_not_fall_is_flat(errors: list[float]) -> None:
    """Errors that stay, or grow with the rows, have no slope, and the floor is their mean."""
    law = fit_power_law(ROWS, np.array([errors]), EVEN)
    assert (law.scale[0], law.irreducible_error[0]) == (0, pytest.approx(np.mean(errors)))


def answered(random: np.random.Generator, errors: Floats, n: int) -> Floats:
    """Draw right and wrong for rows that are as hard for every share."""
    hard, own = random.normal(size=n), random.normal(size=(len(errors), n))
    return (norm.cdf(0.8 * hard + 0.6 * own) > errors[:, None]).astype(float)


@pytest.mark.parametrize(
    ("law", "least"),
    [(lambda n: 0.1 + 3 * n**-0.35, 0.9), (lambda n: 0.3 + 20 / n, 0.85), (lambda n: 0.4 + 0 * n, 0.9)],
)
def test_the_interval_covers_what_twice_the_rows_bring(law: Callable[[Floats], Floats], least: float) -> None:
    """Of 100 simulated curves on 175 test rows, nearly all; the last is flat."""
    truth, covered = float(law(ROWS)[-1] - law(2 * ROWS)[-1]), 0
    for seed in range(100):
        growth = fit_growth(ROWS, answered(np.random.default_rng(seed), law(ROWS), 175), 300, 1)
        assert growth is not None
        _, low, high = growth.gain(2)
        covered += low <= truth <= high
    assert covered / 100 >= least


def test_a_flat_curve_promises_nothing() -> None:
    """Of 100 flat curves, whose points move by chance, at most 5 are told to bring anything."""
    promised = 0
    for seed in range(100):
        growth = fit_growth(ROWS, answered(np.random.default_rng(seed), np.full(4, 0.4), 175), 300, 1)
        promised += "would bring about" in growth_sentence(growth, "accuracy")
    assert promised <= 5


def test_a_steep_curve_is_told_with_its_interval() -> None:
    """The sentence names the rows, the gain and its interval, as `gain` has them."""
    growth = fit_growth(ROWS, answered(np.random.default_rng(1), 0.05 + 5 * ROWS**-0.5, 600), 300, 1)
    assert growth is not None
    gain, low, high = (100 * end for end in growth.gain(2))
    wanted = f"about {gain:+.1f} points of accuracy (95 % interval {low:+.1f} to {high:+.1f})."
    assert growth_sentence(growth, "accuracy") == f"Twice the rows, 1,166, would bring {wanted}"


@pytest.mark.parametrize("errors", [[0.5, 0.3], [0.5, 0.45, 0.42]])
def test_few_shares_say_nothing(errors: list[float]) -> None:
    """So few points lie on some law whatever they are."""
    rows = ROWS[-len(errors) :]
    growth = fit_growth(rows, answered(np.random.default_rng(1), np.array(errors), 100), 300, 1)
    assert growth is None
    assert "cannot be told" in growth_sentence(growth, "accuracy")


def test_a_curve_that_is_no_power_law_says_so() -> None:
    """One that rises ever faster, as a model does that only begins to learn: the law would miss the model there is."""
    growth = fit_growth(ROWS, answered(np.random.default_rng(1), np.array([0.87, 0.82, 0.63, 0.41]), 175), 300, 1)
    assert growth is not None
    assert growth.missed < -0.05
    assert "lie on no power law" in growth_sentence(growth, "accuracy")
    assert f"{100 * -growth.missed:.1f} points below what it has" in growth_sentence(growth, "accuracy")
