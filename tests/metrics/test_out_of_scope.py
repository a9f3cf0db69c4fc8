"""Laws of what is out of scope, held against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from pipeline.metrics.metric import proportion
from pipeline.metrics.out_of_scope import auroc, out_of_scope_metrics

EXPECTED = ["no", "no", "no", "a", "a", "b", "b", "b"]
GOT = ["no", "a", "no", "a", "no", "b", "b", "a"]
SURE = np.array([0.9, 0.4, 0.5, 0.8, 0.6, 0.7, 0.99, 0.5])


def test_precision_recall_and_area_are_those_of_scikit_learn() -> None:
    """With the label for out of scope as the one that is to be found; what was left for it where it was not said."""
    found = out_of_scope_metrics("no", EXPECTED, GOT, SURE, 200, 1)
    out, said = ([one == "no" for one in labels] for labels in (EXPECTED, GOT))
    likely = [sure if is_said else 1 - sure for sure, is_said in zip(SURE, said, strict=True)]
    assert {name: metric.value for name, metric in found.items()} == {
        "out_of_scope_precision": pytest.approx(precision_score(out, said)),
        "out_of_scope_recall": pytest.approx(recall_score(out, said)),
        "out_of_scope_auroc": pytest.approx(roc_auc_score(out, likely)),
    }
    assert [metric.n for metric in found.values()] == [3, 3, 8]
    assert found["out_of_scope_recall"] == proportion([True, False, True])


def test_the_interval_of_the_area_is_that_of_resampled_rows() -> None:
    """Computed again with scikit-learn on the same draws, ties too; a draw with rows of one kind only is left out."""
    drawn = np.random.default_rng(3)
    out, likely = drawn.random(15) < 0.2, np.round(drawn.random(15), 1)
    again, draws = np.random.default_rng(9), []
    for _ in range(80):
        rows = again.integers(0, 15, 15)
        if 0 < out[rows].sum() < 15:
            draws.append(roc_auc_score(out[rows], likely[rows]))
    assert len(draws) < 80
    found = auroc(out, likely, 80, 9)
    assert found.value == pytest.approx(roc_auc_score(out, likely))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def test_what_is_of_no_row_is_left_out() -> None:
    """Without rows out of scope there is no recall, without such answers no precision, without sureness no area."""
    assert set(out_of_scope_metrics("no", EXPECTED, GOT, None, 100, 1)) == {
        "out_of_scope_precision",
        "out_of_scope_recall",
    }
    assert set(out_of_scope_metrics("no", ["a", "b"], ["no", "b"], SURE[:2], 100, 1)) == {"out_of_scope_precision"}
    assert set(out_of_scope_metrics("no", ["no", "b"], ["a", "b"], SURE[:2], 100, 1)) == {
        "out_of_scope_recall", "out_of_scope_auroc",
    }  # fmt: skip
    assert out_of_scope_metrics("no", ["a"], ["a"], SURE[:1], 100, 1) == {}
    assert set(out_of_scope_metrics("no", ["no"], ["no"], SURE[:1], 100, 1)) == {
        "out_of_scope_precision", "out_of_scope_recall",
    }  # fmt: skip
