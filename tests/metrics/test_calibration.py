"""Laws of how sure a model is."""

import numpy as np
import pytest

from pipeline.metrics.calibration import Confidences, confidences_of, expected_calibration_error, reliability_bins
from pipeline.metrics.metric import proportion

SURE = Confidences(np.array([0.05, 0.1, 0.11, 0.55, 0.58, 0.95, 1.0, 1.0]), np.array([0.0, 0, 1, 1, 0, 1, 1, 0]))


def test_the_error_is_that_of_the_definition_by_hand() -> None:
    """Gap between sureness and rightness of each tenth, weighed by its rows (Guo et al. 2017, equation 3)."""
    gaps = [2 * abs(0.075 - 0), 1 * abs(0.11 - 1), 2 * abs(0.565 - 0.5), 3 * abs(2.95 / 3 - 2 / 3)]
    found = expected_calibration_error(SURE, 200, 1)
    assert (found.value, found.n) == (pytest.approx(sum(gaps) / 8), 8)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_model_that_knows_what_it_knows_has_a_small_error() -> None:
    """Of many answers that are right as often as it says, the error is near 0; of one that is always too sure, not."""
    draw = np.random.default_rng(1)
    probability = draw.random(20_000)
    right = (draw.random(20_000) < probability).astype(float)
    assert expected_calibration_error(Confidences(probability, right), 200, 1).high < 0.03
    too_sure = expected_calibration_error(Confidences(np.sqrt(probability), right), 200, 1)
    assert too_sure.low > 0.14  # on average sqrt(p) - p is 1/6


def test_the_tenths_tell_their_rows() -> None:
    """Each has its edges, how sure its answers are and how many are right; none is empty, none is lost."""
    found = reliability_bins(SURE)
    assert [(tenth["from"], tenth["to"], tenth["right"]["n"]) for tenth in found] == [
        (0.0, 0.1, 2), (0.1, 0.2, 1), (0.5, 0.6, 2), (0.9, 1.0, 3),
    ]  # fmt: skip
    assert [tenth["probability"] for tenth in found] == pytest.approx([0.075, 0.11, 0.565, 2.95 / 3])
    assert found[3]["right"] == vars(proportion([True, True, False]))


@pytest.mark.parametrize(("probability", "right", "error"), [(1.0, 1.0, 0.0), (1.0, 0.0, 1.0), (0.25, 0.0, 0.25)])
def test_one_answer_has_an_error_and_much_doubt(probability: float, right: float, error: float) -> None:
    """A single row has its own gap; the interval has a width."""
    found = expected_calibration_error(Confidences(np.array([probability]), np.array([right])), 100, 1)
    assert (found.value, found.n) == (error, 1)
    assert found.high - found.low > 0.5


def test_who_does_not_say_how_sure_it_is_is_not_measured() -> None:
    """Nor who says it of some rows only."""
    right = np.array([1.0, 0.0])
    assert confidences_of([None, None], right) is None
    assert confidences_of([0.5, None], right) is None
    found = confidences_of([0.5, 0.25], right)
    assert found is not None
    assert found.probabilities.tolist() == [0.5, 0.25]
