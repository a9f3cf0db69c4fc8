"""What is counted of each label in the answers of two arms, and the macro-F1 of many draws of rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Counts:
    """What two arms make of a label.

    Args:
        n: Rows that have the label.
        tuned: Of those, rows that the fine-tuned model has right.
        other: Rows that the other arm has right.
        better: Rows that only the fine-tuned model has right.
        worse: Rows that only the other arm has right.
        tuned_said: Rows, of whatever label, that the fine-tuned model answers with this one.
        other_said: Rows that the other arm answers with it.
    """

    n: int
    tuned: int
    other: int
    better: int
    worse: int
    tuned_said: int
    other_said: int

    @property
    def tuned_f1(self) -> float:
        """F1 of the label in the answers of the fine-tuned model."""
        return 2 * self.tuned / (self.n + self.tuned_said)

    @property
    def other_f1(self) -> float:
        """F1 of the label in the answers of the other arm."""
        return 2 * self.other / (self.n + self.other_said)


def counts(expected: Sequence[str], tuned: Sequence[str], other: Sequence[str]) -> dict[str, Counts]:
    """Count for each label that is expected what two arms answer."""
    wanted, first, second = np.array(expected), np.array(tuned), np.array(other)
    found = {}
    for label in sorted(set(expected)):
        rows, one, two = wanted == label, first == label, second == label
        hits = (rows & one, rows & two, rows & one & ~two, rows & two & ~one)
        found[label] = Counts(*(int(some.sum()) for some in (rows, *hits, one, two)))
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

        def cells_of(of: Rows, among: NDArray[np.bool_]) -> Rows:
            cells = (draw + of)[among]
            return np.bincount(cells, minlength=len(rows) * len(labels)).reshape(len(rows), -1)

        true, said, every = truth[rows], answers[rows], np.ones(rows.shape, bool)
        wanted, given, hits = cells_of(true, every), cells_of(said, every), cells_of(true, true == said)
        scores = 2 * hits / np.maximum(wanted + given, 1)
        return np.asarray(scores.sum(axis=1, where=wanted > 0) / (wanted > 0).sum(axis=1))

    return statistic
