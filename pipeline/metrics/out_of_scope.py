"""Out-of-scope detection: whether the out-of-scope label is given to the rows that have it, and to no other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Floats, Indices
from pipeline.metrics.metric import Metric, bootstrap_metric, count_by_kind, proportion


def out_of_scope_metrics(
    label: str, expected: Sequence[str], got: Sequence[str], probability: Floats | None, resamples: int, seed: int
) -> dict[str, Metric]:
    """Measure how well rows out of scope are found; what is of no row is left out.

    Args:
        label: The one that says so.
        expected: The right label of each row.
        got: The one that was said.
        probability: How sure the model was of what it said; None if it does not say.
        resamples: Bootstrap resamples behind an interval.
        seed: Of those.
    """
    out, predicted = (np.array([one == label for one in labels]) for labels in (expected, got))
    metrics = {}
    if predicted.any():
        metrics["out_of_scope_precision"] = proportion(out[predicted])
    if out.any():
        metrics["out_of_scope_recall"] = proportion(predicted[out])
    if probability is not None and out.any() and not out.all():
        # Of a label that was not said, no more is known than what the one that was said has left for it.
        likely = np.where(predicted, probability, 1 - probability)
        metrics["out_of_scope_auroc"] = auroc(out, likely, resamples, seed)
    return metrics


def auroc(out: NDArray[np.bool_], likely: Floats, resamples: int, seed: int) -> Metric:
    """Area under the ROC curve: how often a row that is so is called likelier than one that is not; ties count half.

    Computed from ranks (Hanley and McNeil 1982). A draw that has rows of one kind only tells nothing.
    """
    steps, rank = np.unique(likely, return_inverse=True)
    many = len(steps)

    def area(rows: Indices) -> Floats:
        is_out, at = out[rows], rank[rows]
        positive = count_by_kind(np.where(is_out, at, many), many)
        negative = count_by_kind(np.where(is_out, many, at), many)
        below = negative.cumsum(axis=1) - negative / 2
        with np.errstate(invalid="ignore"):
            ratio: Floats = (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
        return ratio

    return bootstrap_metric(area, len(out), resamples, seed)
