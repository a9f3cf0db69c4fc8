"""Laws of what a learning curve says: its line, and the labels that want more rows."""

import numpy as np
import pytest

from pipeline.learning_curve.analysis import analyze_growth, labels_needing_data

ROWS = np.array([50.0, 125.0, 250.0, 500.0])


def test_the_line_goes_from_the_smallest_share_to_twice_the_whole() -> None:
    """Its last point is what twice the rows would have; each lies in its band, which widens beyond the rows."""
    right = np.array([[1.0] * many + [0.0] * (200 - many) for many in (80, 110, 130, 145)])
    found = analyze_growth(ROWS, right, "accuracy", 200, 1)
    line = found["line"]
    assert (line[0]["rows"], line[-1]["rows"]) == (pytest.approx(50), pytest.approx(1000))
    assert {name: line[-1][name] for name in ("value", "low", "high")} == pytest.approx(
        {name: found["twice"][name] for name in ("value", "low", "high")}
    )
    assert all(point["low"] <= point["value"] <= point["high"] for point in line)
    assert found["twice"]["gain"] > 0


def test_the_last_step_is_told_as_it_was_measured() -> None:
    """Whatever a law would say: the difference of the last two models on the same rows, with its interval."""
    right = np.array([[1.0] * many + [0.0] * (200 - many) for many in (20, 30, 60, 120)])
    found = analyze_growth(ROWS, right, "accuracy", 200, 1)
    assert found["last"]["difference"] == pytest.approx(0.3)
    assert found["last"]["low"] < 0.3 < found["last"]["high"]
    assert "The last rows, from 250 to 500, brought +30.0 points (+" in found["text"]
    assert analyze_growth(ROWS[:1], right[:1], "accuracy", 200, 1)["last"] is None


def test_without_a_fit_there_is_no_line() -> None:
    """Two shares are told as they are."""
    found = analyze_growth(ROWS[:2], np.ones((2, 20)), "accuracy", 200, 1)
    assert (found["law"], found["line"], found["twice"]) == (None, [], None)
    assert "cannot be told" in found["text"]


EXPECTED = ["a"] * 20 + ["b"] * 20


def test_a_label_that_more_rows_helped_stands_out() -> None:
    """One that gained 12 of 20 rows does; one that gained two and lost one does not."""
    before = ["b"] * 15 + ["a"] * 5 + ["b"] * 17 + ["a"] * 3
    after = ["b"] * 3 + ["a"] * 17 + ["a"] + ["b"] * 18 + ["a"]
    first, second = labels_needing_data(["a"] * 70 + ["b"] * 30, EXPECTED, [before, after])
    assert (first["label"], first["rows"], first["stands_out"]) == ("a", 70, True)
    assert (second["label"], second["rows"], second["stands_out"]) == ("b", 30, False)
    assert (first["gain"], second["gain"]) == (pytest.approx(12 / 20), pytest.approx(1 / 20))
    assert (first["p_value"], first["p_corrected"]) == (2**-12, 2 * 2**-12)


def test_models_that_differ_by_chance_let_no_label_stand_out() -> None:
    """Of 200 pairs of equal models, at most one in ten names a label."""
    named, random = 0, np.random.default_rng(4)
    for _ in range(200):
        got = [[want if hit else "other" for want, hit in zip(EXPECTED, random.random(40) < 0.6, strict=True)]
               for _ in range(2)]  # fmt: skip
        named += any(one["stands_out"] for one in labels_needing_data(EXPECTED, EXPECTED, got))
    assert named <= 20


def test_without_labels_there_is_nothing_to_compare() -> None:
    """Nor with one model alone."""
    assert labels_needing_data([], EXPECTED, [EXPECTED, EXPECTED]) == []
    assert labels_needing_data(EXPECTED, EXPECTED, [EXPECTED]) == []
