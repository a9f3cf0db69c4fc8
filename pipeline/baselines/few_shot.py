"""The base model with examples from the training rows: the same for every question, or the nearest to each."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Protocol

from pipeline.baselines.baseline import BaselineReport, PromptMessages
from pipeline.baselines.few_shot_prompt import render_with_examples
from pipeline.baselines.language_model import BaselineLanguageModel
from pipeline.generation.predictions import BaselinePrediction
from pipeline.model.chat_template import PromptEncoder
from pipeline.pairs import Pair


class ExampleRetriever(Protocol):
    """Finds training rows for a question."""

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:
        """Learn the training rows."""
        ...

    def retrieve(self, questions: Sequence[PromptMessages], many: int) -> list[list[int]]:
        """Give the places of the training rows nearest to each question, the nearest first."""
        ...

    def count_tokens(self, question: PromptMessages) -> int:
        """Count the tokens that a language model reads to find them."""
        ...


class FewShot:
    """Answers behind examples (few-shot, Brown et al. 2020).

    Prompts with as many examples are answered together: they share what they begin with.

    Args:
        speaker: The base model.
        system: Its system message.
        many: How many examples.
        seed: Of their choice.
    """

    def __init__(self, speaker: BaselineLanguageModel, system: str, *, many: int, seed: int) -> None:
        self.language_model = speaker
        self.prompt_encoder = speaker.prompt_encoder(system)
        self.example_count = many
        self.seed = seed
        self.examples: list[Pair] = []

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:  # noqa: ARG002 -- nothing to choose
        """Draw the examples."""
        self.examples = sample_examples(train, self.example_count, self.seed)
        report = {"examples": [pair.id for pair in self.examples], "examples_wanted": len(self.examples)}
        return {**report, "prompt_tokens_at_most": self.language_model.prompt_token_budget}

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Answer questions behind the examples that fit."""
        prompts = [
            render_with_examples(self.prompt_encoder, q, self.examples, self.language_model.prompt_token_budget)
            for q in questions
        ]
        return answer_by_example_count(self.language_model, self.prompt_encoder, prompts)


class RetrievedFewShot:
    """Answers behind the training rows that are nearest to each question (retrieval-augmented generation over pairs).

    The nearest one stands next to the question.

    Args:
        speaker: The base model.
        system: Its system message.
        search: What finds the rows.
        many: How many.
    """

    def __init__(self, speaker: BaselineLanguageModel, system: str, search: ExampleRetriever, *, many: int) -> None:
        self.language_model = speaker
        self.prompt_encoder = speaker.prompt_encoder(system)
        self.retriever = search
        self.example_count = many
        self.train_pairs: Sequence[Pair] = ()

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:
        """Learn the training rows."""
        self.train_pairs = train
        report = {
            "examples_wanted": min(self.example_count, len(train)),
            "prompt_tokens_at_most": self.language_model.prompt_token_budget,
        }
        return {**self.retriever.fit(train, validation), **report}

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Answer questions behind the nearest training rows that fit."""
        prompts = [
            render_with_examples(
                self.prompt_encoder,
                q,
                [self.train_pairs[index] for index in near],
                self.language_model.prompt_token_budget,
                best_last=True,
            )
            for q, near in zip(questions, self.retriever.retrieve(questions, self.example_count), strict=True)
        ]
        read = [self.retriever.count_tokens(question) for question in questions]
        return answer_by_example_count(self.language_model, self.prompt_encoder, prompts, read)


def sample_examples(train: Sequence[Pair], many: int, seed: int) -> list[Pair]:
    """Draw pairs by chance, one of each completion before a second of any."""
    shuffled = random.Random(seed).sample(list(train), len(train))  # noqa: S311 -- no secret
    by_completion: dict[str, list[Pair]] = {}
    for pair in shuffled:
        by_completion.setdefault(pair.completion, []).append(pair)
    rounds = chain.from_iterable(zip_longest(*by_completion.values()))
    return [pair for pair in rounds if pair is not None][:many]


def answer_by_example_count(
    speaker: BaselineLanguageModel,
    renderer: PromptEncoder,
    prompts: Sequence[tuple[list[int], int]],
    read: Sequence[int] = (),
) -> list[BaselinePrediction]:
    """Answer prompts, those with as many examples together.

    Args:
        speaker: The base model.
        renderer: The rendering that made the prompts.
        prompts: Each with the number of its examples.
        read: Tokens that were read besides, for each.
    """
    predictions: dict[int, BaselinePrediction] = {}
    for many in sorted({many for _, many in prompts}):
        indices = [index for index, (_, has) in enumerate(prompts) if has == many]
        given = speaker.generate(renderer, [prompts[index][0] for index in indices])
        predictions |= dict(zip(indices, given, strict=True))
    besides = read or [0] * len(prompts)
    return [
        replace(predictions[index], examples=many, tokens_in=len(prompt) + besides[index])
        for index, (prompt, many) in enumerate(prompts)
    ]
