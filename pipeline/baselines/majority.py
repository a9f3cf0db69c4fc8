"""Majority baseline: always answers the most frequent completion of the training rows."""

from collections.abc import Sequence

from pipeline.baselines.baseline import BaselineReport, PromptMessages
from pipeline.files import count_values
from pipeline.generation.predictions import BaselinePrediction
from pipeline.pairs import Pair


class MajorityBaseline:
    """Says the most frequent completion; of equally frequent ones the first by name."""

    def __init__(self) -> None:
        self.completion = ""

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:  # noqa: ARG002 -- nothing to choose
        """Count."""
        self.completion, rows = next(iter(count_values(pair.completion for pair in train).items()))
        return {"completion": self.completion, "rows": rows, "of": len(train)}

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Say it."""
        return [BaselinePrediction(self.completion) for _ in questions]
