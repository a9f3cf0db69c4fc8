import numpy as np
import pytest

from pipeline.validate.drift_measure import length_histogram, measure_drift


def test_lengths_are_counted_by_powers_of_two() -> None:
    """A power belongs to those that it bounds."""
    assert length_histogram(np.array([0, 1, 2, 3, 4, 5, 1024, 1025])) == {
        "up to 1": 2, "up to 2": 1, "up to 4": 2, "up to 8": 1, "up to 1,024": 1, "up to 2,048": 1,
    }  # fmt: skip


def test_the_distance_is_the_share_that_would_have_to_be_others() -> None:
    """Total variation; equal shares are none, whatever the numbers, and what has moved most is named."""
    assert measure_drift("x", {"a": 10, "b": 30}, {"a": 100, "b": 300}).distance == pytest.approx(0)
    found = measure_drift("x", {"a": 500, "b": 500}, {"a": 200, "b": 700, "c": 100})
    assert found.distance == pytest.approx(0.3)
    assert found.most == ("a", 0.5, 0.2)
    assert (found.drift, found.thousandths) == (found.distance, 300)
    assert str(found) == "x by 0.30 (above all 'a', from 50.0% to 20.0%)"
    assert measure_drift("x", {"a": 5}, {"b": 5}).distance == 1


def test_what_may_be_chance_is_no_drift() -> None:
    """Of ten rows each share moves; of a thousand it does not."""
    few = measure_drift("x", {"a": 6, "b": 4}, {"a": 3, "b": 7})
    assert few.distance == pytest.approx(0.3)
    assert (few.drift, few.thousandths) == (0, 0)
    assert measure_drift("x", {"a": 600, "b": 400}, {"a": 300, "b": 700}).thousandths == 300
