"""Labels taken for others: what that does to all labels alike, to each by itself, and which is taken for which."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.classes import macro_f1_of
from pipeline.metrics import Metric, Rows, Scores, bootstrapped, of_draws, resampled, share, tallies


class Confusion:
    """Which labels were expected and which were said, row by row.

    Args:
        expected: The right label of each row.
        got: The one that was said.
    """

    def __init__(self, expected: Sequence[str], got: Sequence[str]) -> None:
        self.labels = sorted(set(expected) | set(got))
        number = {label: place for place, label in enumerate(self.labels)}
        self.truth = np.array([number[label] for label in expected], np.intp)
        self.said = np.array([number[label] for label in got], np.intp)

    def __len__(self) -> int:
        return len(self.truth)

    def f1(self, rows: Rows) -> Scores:
        """Compute the harmonic mean of precision and recall of each label, in each draw of rows.

        Returns:
            Shape (draws, labels). NaN where a draw has no row of a label, nor one that was called so.
        """
        true, said, many = self.truth[rows], self.said[rows], len(self.labels)
        hits = tallies(np.where(true == said, true, many), many)
        with np.errstate(invalid="ignore"):
            return 2 * hits / (tallies(true, many) + tallies(said, many))


def macro_f1(expected: Sequence[str], got: Sequence[str], resamples: int, seed: int) -> Metric:
    """Mean over the labels, each counting the same, of the harmonic mean of precision and recall.

    The labels are those that occur among the expected ones; an interval's draw takes those that it drew.
    """
    return bootstrapped(macro_f1_of(expected, got), len(expected), resamples, seed)


def classes(expected: Sequence[str], got: Sequence[str], resamples: int, seed: int) -> dict[str, dict[str, Metric]]:
    """Measure each label that was expected or said.

    Precision is of the rows where it was said, recall of those where it was expected, F1 of those where it was either;
    what is of no row is left out.
    """
    found = Confusion(expected, got)
    values = found.f1(np.arange(len(found))[None])[0]
    draws = resampled(found.f1, len(found), resamples, seed)
    measured: dict[str, dict[str, Metric]] = {}
    for place, label in enumerate(found.labels):
        wanted, said = found.truth == place, found.said == place
        both, either = wanted & said, int((wanted | said).sum())
        of_label = measured[label] = {"f1": of_draws(float(values[place]), either, draws[:, place])}
        if said.any():
            of_label["precision"] = share(both[said])
        if wanted.any():
            of_label["recall"] = share(both[wanted])
    return measured


def confused(expected: Sequence[str], got: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count, for each expected label, which labels were said."""
    pairs = Counter(zip(expected, got, strict=True))
    return {want: {said: n for (of, said), n in sorted(pairs.items()) if of == want} for want in sorted(set(expected))}
