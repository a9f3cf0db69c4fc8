"""What is counted of each label: the rows that two arms have right of it, and the F1 of many draws of rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Recall:
    """How many rows of a label two arms have right.

    Args:
        n: Rows that have the label.
        tuned: Of those, rows that the fine-tuned model has right.
        other: Rows that the other arm has right.
        better: Rows that only the fine-tuned model has right.
        worse: Rows that only the other arm has right.
    """

    n: int
    tuned: int
    other: int
    better: int
    worse: int


def recalls(expected: Sequence[str], tuned: Scores, other: Scores) -> dict[str, Recall]:
    """Count for each label that is expected which of its rows two arms have right (1) or wrong (0)."""
    wanted = np.array(expected)
    found = {}
    for label in sorted(set(expected)):
        first, second = tuned[wanted == label], other[wanted == label]
        better, worse = int((first > second).sum()), int((first < second).sum())
        found[label] = Recall(len(first), int(first.sum()), int(second.sum()), better, worse)
    return found


def macro_f1_of(expected: Sequence[str], got: Sequence[str]) -> Callable[[Rows], Scores]:
    """Give the macro-F1 of an arm as a function of draws of rows (draws x rows), computed for all draws at once.

    A draw's labels are those that it drew among the expected ones; each counts the same.
    """
    labels = sorted(set(expected) | set(got))
    number = {label: place for place, label in enumerate(labels)}
    truth = np.array([number[label] for label in expected])
    answers = np.array([number[label] for label in got])

    def statistic(rows: Rows) -> Scores:
        draw = np.broadcast_to(np.arange(len(rows))[:, None] * len(labels), rows.shape)

        def counts(of: Rows, among: NDArray[np.bool_]) -> Rows:
            cells = (draw + of)[among]
            return np.bincount(cells, minlength=len(rows) * len(labels)).reshape(len(rows), -1)

        true, said, every = truth[rows], answers[rows], np.ones(rows.shape, bool)
        wanted, given, hits = counts(true, every), counts(said, every), counts(true, true == said)
        scores = 2 * hits / np.maximum(wanted + given, 1)
        return np.asarray(scores.sum(axis=1, where=wanted > 0) / (wanted > 0).sum(axis=1))

    return statistic
