"""Laws of what is counted of labels."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from pipeline.metrics.classification import macro_f1_statistic
from pipeline.stats.label_counts import LabelCounts, count_labels

EXPECTED = [*["a"] * 12, *["b"] * 7, *["c"] * 3, "d"]
GOT = [*["a"] * 8, *["b"] * 4, *["b"] * 5, *["x"] * 2, *["c"] * 2, "a", "c"]


def test_each_expected_label_has_its_rows_and_answers_counted() -> None:
    """Rows, those right by either, by one alone, and every answer with it; a label that is only answered is none."""
    found = count_labels([*"bbbac"], [*"bbxbc"], [*"bxbxc"])
    assert found == {
        "a": LabelCounts(1, 0, 0, 0, 0, 0, 0), "b": LabelCounts(3, 2, 2, 1, 1, 3, 2),
        "c": LabelCounts(1, 1, 1, 0, 0, 1, 1),
    }  # fmt: skip


def test_the_f1_of_a_label_is_that_of_scikit_learn() -> None:
    """Of either arm, and 0 where it was never right."""
    other = ["a"] * len(EXPECTED)
    for label, one in count_labels(EXPECTED, GOT, other).items():
        wanted = [f1_score(EXPECTED, got, labels=[label], average="macro", zero_division=0) for got in (GOT, other)]
        assert [one.tuned_f1, one.other_f1] == pytest.approx(wanted)


def test_macro_f1_of_draws_is_that_of_scikit_learn_draw_by_draw() -> None:
    """Computed at once for all draws, each is the mean F1 over the labels that the draw expects."""
    rows = np.random.default_rng(7).integers(0, len(EXPECTED), (50, len(EXPECTED)))
    wanted = []
    for draw in rows:
        expected, got = [EXPECTED[row] for row in draw], [GOT[row] for row in draw]
        wanted.append(f1_score(expected, got, labels=sorted(set(expected)), average="macro", zero_division=0))
    assert macro_f1_statistic(EXPECTED, GOT)(rows).tolist() == pytest.approx(wanted)


def test_all_right_is_one_and_all_wrong_is_zero() -> None:
    """Also of a single row."""
    rows = np.zeros((1, 1), int)
    assert macro_f1_statistic(["a"], ["a"])(rows).tolist() == [1.0]
    assert macro_f1_statistic(["a"], ["b"])(rows).tolist() == [0.0]
