"""Laws of labels taken for others, held against scikit-learn."""

import random

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from pipeline.metrics.classification import confusion_counts, label_metrics_table, macro_f1
from pipeline.metrics.metric import proportion, wilson_interval

EXPECTED = [*["a"] * 12, *["b"] * 7, *["c"] * 3, "d"]
GOT = [*["a"] * 8, *["b"] * 4, *["b"] * 5, *["x"] * 2, *["c"] * 2, "a", "c"]


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


def test_the_interval_of_f1_of_a_label_is_that_of_resampled_rows() -> None:
    """Computed again with scikit-learn on the same draws; a draw that has no such row is left out."""
    drawn, n = np.random.default_rng(7), len(EXPECTED)
    draws = []
    for _ in range(60):
        rows = drawn.integers(0, n, n)
        expected, got = [EXPECTED[row] for row in rows], [GOT[row] for row in rows]
        draws.append(f1_score(expected, got, labels=["c", "d"], average=None, zero_division=np.nan))
    found, columns = label_metrics_table(EXPECTED, GOT, 60, 7), np.array(draws).T
    assert (found["c"]["f1"].low, found["c"]["f1"].high) == pytest.approx(
        tuple(np.nanquantile(columns[0], [0.025, 0.975]))
    )
    assert np.isnan(columns[1]).any()
    assert found["d"]["f1"] == wilson_interval(0.0, 1)


def test_each_label_is_measured_as_scikit_learn_does() -> None:
    """Precision, recall and F1 of every label that was expected or said; what is of no row is left out."""
    found, labels = label_metrics_table(EXPECTED, GOT, 100, 1), ["a", "b", "c", "d", "x"]
    wanted = precision_recall_fscore_support(EXPECTED, GOT, labels=labels, zero_division=np.nan)
    assert list(found) == labels
    for place, label in enumerate(labels):
        for name, column in zip(("precision", "recall", "f1"), wanted, strict=False):
            value = found[label][name].value if name in found[label] else np.nan
            assert value == pytest.approx(column[place], nan_ok=True)
    assert set(found["d"]) == {"recall", "f1"}  # never said
    assert set(found["x"]) == {"precision", "f1"}  # never expected


def test_each_number_of_a_label_tells_of_how_many_rows_it_is() -> None:
    """Precision of those where it was said, recall of those where it was expected, F1 of those where it was either."""
    found = label_metrics_table(EXPECTED, GOT, 100, 1)["b"]
    assert {name: metric.n for name, metric in found.items()} == {"f1": 11, "precision": 9, "recall": 7}
    assert found["recall"] == proportion([True] * 5 + [False] * 2)


def test_confusions_are_those_of_scikit_learn() -> None:
    """Each pair of an expected and a said label with its rows, and none that did not occur."""
    found, labels = confusion_counts(EXPECTED, GOT), ["a", "b", "c", "d", "x"]
    table = confusion_matrix(EXPECTED, GOT, labels=labels)
    assert found == {
        want: {said: n for said, n in zip(labels, row.tolist(), strict=True) if n}
        for want, row in zip(labels, table, strict=True)
        if row.any()
    }


def test_the_order_of_the_rows_changes_no_value() -> None:
    """Shuffled rows have the same macro-F1, labels and confusions."""
    rows = list(zip(EXPECTED, GOT, strict=True))
    random.Random(1).shuffle(rows)
    expected, got = [want for want, _ in rows], [said for _, said in rows]
    assert macro_f1(expected, got, 100, 1).value == pytest.approx(macro_f1(EXPECTED, GOT, 100, 1).value)
    assert confusion_counts(expected, got) == confusion_counts(EXPECTED, GOT)
    before, after = label_metrics_table(EXPECTED, GOT, 100, 1), label_metrics_table(expected, got, 100, 1)
    for label, measures in before.items():
        for name, metric in measures.items():
            assert (after[label][name].value, after[label][name].n) == (metric.value, metric.n)


def test_what_is_always_right_has_1_and_a_doubt() -> None:
    """The same labels give 1 everywhere, with an interval that few rows deserve; so does a single row."""
    for labels in (EXPECTED, ["a"]):
        assert macro_f1(labels, labels, 100, 1) == wilson_interval(1.0, len(labels))
        for label, measures in label_metrics_table(labels, labels, 100, 1).items():
            assert set(measures) == {"precision", "recall", "f1"}
            assert {metric.value for metric in measures.values()} == {1.0}
            assert measures["f1"] == wilson_interval(1.0, labels.count(label))
