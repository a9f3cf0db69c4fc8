"""The one shape of all baselines: learn from training rows, choose on validation rows, answer questions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipeline.generation.generate import Answer
from pipeline.generation.predictions import Given
from pipeline.metrics.rules import HouseRule
from pipeline.metrics.scoring import marked
from pipeline.pairs import Message, Pair
from pipeline.params import Task

WORD = re.compile(r"\w+")

Question = tuple[Message, ...]
"""A prompt. A baseline is never handed the completion of a row that it is to answer."""
Report = dict[str, Any]
"""What a baseline tells of itself in report.json: nothing in it may differ from run to run."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of an answer: the task, the labels there are, and the measure that the gate goes by."""

    task: Task
    labels: Sequence[str]
    metric: str
    rules: Sequence[HouseRule]


class Baseline(Protocol):
    """A way to answer that no language model is trained for."""

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> Report:
        """Learn from training rows, choose on validation rows alone, and tell what was chosen."""
        ...

    def answer(self, questions: Sequence[Question]) -> list[Given]:
        """Answer questions, in their order."""
        ...


def question_of(pair: Pair) -> Question:
    """Give a pair's prompt without its completion."""
    return pair.messages


def text_of(question: Question) -> str:
    """Give a question in one text."""
    return "\n".join(message.content for message in question)


def words_of(text: str) -> list[str]:
    """Give the words of a text, without case."""
    return WORD.findall(text.casefold())


def merit(wanted: Wanted, rows: Sequence[Pair], got: Sequence[str]) -> float:
    """Mean over some rows of the measure that the gate goes by; what a baseline chooses by.

    Raises:
        ValueError: If there are no rows.
    """
    if not rows:
        raise ValueError("no rows to choose on")
    answers = [Answer(text, free=True, held=True) for text in got]  # neither counts for this measure
    return float(np.mean(marked(wanted.task, rows, answers, wanted.rules).scores[wanted.metric]))


def best(merits: Sequence[float | None]) -> int:
    """Give the place of the greatest merit; of equals, and where nothing could be measured, the first."""
    return max(range(len(merits)), key=lambda place: (merits[place] or 0.0, -place))
