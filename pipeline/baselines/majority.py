"""The baseline that always says the same: the commonest completion of the training rows."""

from collections.abc import Sequence

from pipeline.baselines.baseline import Question, Report
from pipeline.files import counts
from pipeline.generation.predictions import Given
from pipeline.pairs import Pair


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
