"""Classification metrics: macro-F1, precision, recall and F1 of each label, and the confusion matrix."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Floats, Indices
from pipeline.metrics.metric import Metric, bootstrap_metric, count_by_kind, metric_from_draws, proportion
from pipeline.stats.bootstrap import bootstrap_draws


class Confusion:
    """Expected and predicted labels, row by row.

    Args:
        expected: The right label of each row.
        got: The one that was said.
    """

    def __init__(self, expected: Sequence[str], got: Sequence[str]) -> None:
        self.labels = sorted(set(expected) | set(got))
        number = {label: index for index, label in enumerate(self.labels)}
        self.expected = np.array([number[label] for label in expected], np.intp)
        self.predicted = np.array([number[label] for label in got], np.intp)

    def __len__(self) -> int:
        return len(self.expected)

    def f1(self, rows: Indices) -> Floats:
        """Compute the harmonic mean of precision and recall of each label, in each draw of rows.

        Returns:
            Shape (draws, labels). NaN where a draw has no row of a label, nor one that was called so.
        """
        true, predicted, many = self.expected[rows], self.predicted[rows], len(self.labels)
        hits = count_by_kind(np.where(true == predicted, true, many), many)
        with np.errstate(invalid="ignore"):
            return 2 * hits / (count_by_kind(true, many) + count_by_kind(predicted, many))


def macro_f1(expected: Sequence[str], got: Sequence[str], resamples: int, seed: int) -> Metric:
    """Mean over the labels, each counting the same, of the harmonic mean of precision and recall.

    The labels are those that occur among the expected ones; an interval's draw takes those that it drew.
    """
    return bootstrap_metric(macro_f1_statistic(expected, got), len(expected), resamples, seed)


def label_metrics_table(
    expected: Sequence[str], got: Sequence[str], resamples: int, seed: int
) -> dict[str, dict[str, Metric]]:
    """Measure each label that was expected or predicted.

    Precision is of the rows where it was said, recall of those where it was expected, F1 of those where it was either;
    what is of no row is left out.
    """
    confusion = Confusion(expected, got)
    values = confusion.f1(np.arange(len(confusion))[None])[0]
    draws = bootstrap_draws(confusion.f1, len(confusion), resamples, seed)
    measured: dict[str, dict[str, Metric]] = {}
    for index, label in enumerate(confusion.labels):
        wanted, predicted = confusion.expected == index, confusion.predicted == index
        both, either = wanted & predicted, int((wanted | predicted).sum())
        of_label = measured[label] = {"f1": metric_from_draws(float(values[index]), either, draws[:, index])}
        if predicted.any():
            of_label["precision"] = proportion(both[predicted])
        if wanted.any():
            of_label["recall"] = proportion(both[wanted])
    return measured


def confusion_counts(expected: Sequence[str], got: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the predicted labels of each expected one."""
    pairs = Counter(zip(expected, got, strict=True))
    return {
        want: {predicted: n for (of, predicted), n in sorted(pairs.items()) if of == want}
        for want in sorted(set(expected))
    }


def macro_f1_statistic(expected: Sequence[str], got: Sequence[str]) -> Callable[[Indices], Floats]:
    """Give the macro-F1 of an arm as a function of draws of rows (draws x rows), computed for all draws at once.

    A draw's labels are those that it drew among the expected ones; each counts the same.
    """
    labels = sorted(set(expected) | set(got))
    number = {label: index for index, label in enumerate(labels)}
    truth = np.array([number[label] for label in expected])
    answers = np.array([number[label] for label in got])

    def statistic(rows: Indices) -> Floats:
        draw = np.broadcast_to(np.arange(len(rows))[:, None] * len(labels), rows.shape)

        def cells_of(of: Indices, among: NDArray[np.bool_]) -> Indices:
            cells = (draw + of)[among]
            return np.bincount(cells, minlength=len(rows) * len(labels)).reshape(len(rows), -1)

        true, predicted, every = truth[rows], answers[rows], np.ones(rows.shape, bool)
        wanted, given, hits = cells_of(true, every), cells_of(predicted, every), cells_of(true, true == predicted)
        scores = 2 * hits / np.maximum(wanted + given, 1)
        return np.asarray(scores.sum(axis=1, where=wanted > 0) / (wanted > 0).sum(axis=1))

    return statistic
