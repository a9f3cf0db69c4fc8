"""The one shape of all baselines: learn from training rows, choose on validation rows, answer questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipeline.generation.generate import Prediction
from pipeline.generation.predictions import BaselinePrediction
from pipeline.metrics.rules import LoadedRule
from pipeline.metrics.scoring import score_predictions
from pipeline.pairs import Message, Pair
from pipeline.params import Task

PromptMessages = tuple[Message, ...]
"""A prompt. A baseline is never handed the completion of a row that it is to answer."""
BaselineReport = dict[str, Any]
"""What a baseline tells of itself in report.json: nothing in it may differ from run to run."""


@dataclass(frozen=True)
class BaselineTask:
    """What is wanted of an answer: the task, the labels there are, and the measure that the gate goes by."""

    task: Task
    labels: Sequence[str]
    metric: str
    rules: Sequence[LoadedRule]


class Baseline(Protocol):
    """A way to answer that no language model is trained for."""

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:
        """Learn from training rows, choose on validation rows alone, and tell what was chosen."""
        ...

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Answer questions, in their order."""
        ...


def prompt_messages(pair: Pair) -> PromptMessages:
    """Give a pair's prompt without its completion."""
    return pair.messages


def prompt_text(question: PromptMessages) -> str:
    """Give a question in one text."""
    return "\n".join(message.content for message in question)


def mean_score(wanted: BaselineTask, rows: Sequence[Pair], got: Sequence[str]) -> float:
    """Mean over some rows of the measure that the gate goes by; what a baseline chooses by.

    Raises:
        ValueError: If there are no rows.
    """
    if not rows:
        raise ValueError("no rows to choose on")
    answers = [Prediction(text, free=True, held=True) for text in got]  # neither counts for this measure
    return float(np.mean(score_predictions(wanted.task, rows, answers, wanted.rules).scores[wanted.metric]))


def index_of_best(merits: Sequence[float | None]) -> int:
    """Give the place of the greatest merit; of equals, and where nothing could be measured, the first."""
    return max(range(len(merits)), key=lambda index: (merits[index] or 0.0, -index))
