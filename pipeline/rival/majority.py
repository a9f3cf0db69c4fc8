"""The rival that always says the same: the commonest completion of the training rows."""

from collections.abc import Sequence

from pipeline.pairs import Pair, counts
from pipeline.rival.answers import Given
from pipeline.rival.shape import Question, Report


class Majority:
    """Says the commonest completion; of equally common ones the first by name."""

    def __init__(self) -> None:
        self.completion = ""

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> Report:  # noqa: ARG002 -- nothing to choose
        """Count."""
        self.completion, rows = next(iter(counts(pair.completion for pair in train).items()))
        return {"completion": self.completion, "rows": rows, "of": len(train)}

    def answer(self, questions: Sequence[Question]) -> list[Given]:
        """Say it."""
        return [Given(self.completion) for _ in questions]
