"""Per-label counts of two arms, and macro-F1 over bootstrap draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelCounts:
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


def count_labels(expected: Sequence[str], tuned: Sequence[str], other: Sequence[str]) -> dict[str, LabelCounts]:
    """Count for each label that is expected what two arms answer."""
    wanted, first, second = np.array(expected), np.array(tuned), np.array(other)
    counts = {}
    for label in sorted(set(expected)):
        rows, one, two = wanted == label, first == label, second == label
        hits = (rows & one, rows & two, rows & one & ~two, rows & two & ~one)
        counts[label] = LabelCounts(*(int(some.sum()) for some in (rows, *hits, one, two)))
    return counts
