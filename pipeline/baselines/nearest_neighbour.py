"""The training rows nearest to a question by features, and the baseline that answers what the nearest one answered."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from pipeline.baselines.baseline import (
    BaselineReport,
    BaselineTask,
    PromptMessages,
    index_of_best,
    mean_score,
    prompt_messages,
)
from pipeline.baselines.tfidf import FeatureExtractor, Matrix, single_threaded
from pipeline.generation.predictions import BaselinePrediction
from pipeline.pairs import Pair

QUERY_BLOCK_ROWS = 256
"""Questions compared with all training rows at once."""


class NearestNeighbours:
    """Finds training rows by the cosine of their features, in the view whose nearest rows answer validation rows best.

    Args:
        features: How questions are seen.
        wanted: What is wanted of an answer.
    """

    def __init__(self, features: FeatureExtractor, wanted: BaselineTask) -> None:
        self.features = features
        self.task = wanted
        self.completions: list[str] = []
        self.view = ""
        self.train_features: Matrix = None

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:
        """See the training rows, and choose the view."""
        self.completions = [pair.completion for pair in train]
        views = {
            view: normalize(rows) for view, rows in self.features.fit_transform([*map(prompt_messages, train)]).items()
        }
        held = self.features.transform([*map(prompt_messages, validation)]) if validation else {}
        merits = [
            mean_score(self.task, validation, self._completions(nearest_by_cosine(rows, held[view], 1)))
            if validation
            else None
            for view, rows in views.items()
        ]
        self.view = list(views)[index_of_best(merits)]
        self.train_features = views[self.view]
        report = [{"view": view, self.task.metric: merit} for view, merit in zip(views, merits, strict=True)]
        return {
            "chosen": {"view": self.view}, "tried": report, "chosen_on": len(validation), **self.features.report(),
        }  # fmt: skip

    def retrieve(self, questions: Sequence[PromptMessages], many: int) -> list[list[int]]:
        """Give the places of the training rows nearest to each question, the nearest first."""
        return nearest_by_cosine(self.train_features, self.features.transform(questions)[self.view], many)

    def count_tokens(self, question: PromptMessages) -> int:
        """Count the tokens that a language model reads to find them."""
        return self.features.count_tokens(question)

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Say what the nearest training row says."""
        completions = self._completions(self.retrieve(questions, 1))
        return [
            BaselinePrediction(text, tokens_in=self.count_tokens(question))
            for text, question in zip(completions, questions, strict=True)
        ]

    def _completions(self, indices: Sequence[Sequence[int]]) -> list[str]:
        return [self.completions[first] for first, *_ in indices]


def nearest_by_cosine(rows: Matrix, questions: Matrix, many: int) -> list[list[int]]:
    """Give the places of the rows with the greatest cosine to each question; of equals the first.

    Args:
        rows: Features of training rows, each of length one.
        questions: Features of questions.
        many: How many places, at most, for each question.
    """
    nearest = []
    for start in range(0, questions.shape[0], QUERY_BLOCK_ROWS):
        with single_threaded():
            likeness = rows @ normalize(questions[start : start + QUERY_BLOCK_ROWS]).T
        dense = likeness.toarray() if hasattr(likeness, "toarray") else likeness
        nearest += [top_indices(dense[:, column], many) for column in range(dense.shape[1])]
    return nearest


def top_indices(scores: NDArray[np.floating], many: int) -> list[int]:
    """Give the places of the greatest scores, the greatest first, equals in their order."""
    return [int(index) for index in np.argsort(-scores, kind="stable")[:many]]
