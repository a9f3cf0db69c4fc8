"""The base model as it is, and with the best of several system messages."""

import random
from collections.abc import Sequence

from pipeline.baselines.baseline import (
    BaselineReport,
    BaselineTask,
    PromptMessages,
    index_of_best,
    mean_score,
    prompt_messages,
)
from pipeline.baselines.few_shot_prompt import render_prompt
from pipeline.baselines.language_model import BaselineLanguageModel
from pipeline.generation.predictions import BaselinePrediction
from pipeline.pairs import Pair


class ZeroShot:
    """The base model with the system message of the params and nothing more (zero-shot).

    Args:
        speaker: The base model.
        system: Its system message.
    """

    def __init__(self, speaker: BaselineLanguageModel, system: str) -> None:
        self.language_model = speaker
        self.prompt_encoder = speaker.prompt_encoder(system)

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:  # noqa: ARG002 -- nothing to learn
        """Learn nothing, but load the model, so that no answer waits for that."""
        return {"system": self.prompt_encoder.system, "prompt_tokens_at_most": self.language_model.prompt_token_budget}

    def answer(self, questions: Sequence[PromptMessages], progress: str = "") -> list[BaselinePrediction]:
        """Answer questions."""
        prompts = [
            render_prompt(self.prompt_encoder, question, self.language_model.prompt_token_budget)
            for question in questions
        ]
        return self.language_model.generate(self.prompt_encoder, prompts, progress)


class BestPrompt:
    """The base model with the system message that does best on validation rows.

    Args:
        speaker: The base model.
        systems: System messages to choose among; `{labels}` in one stands for all labels.
        wanted: What is wanted of an answer.
        rows: Validation rows, at most, to choose on.
        seed: Of their sample.
    """

    def __init__(
        self, speaker: BaselineLanguageModel, systems: Sequence[str], wanted: BaselineTask, *, rows: int, seed: int
    ) -> None:
        self.language_model = speaker
        self.system_messages = [system.replace("{labels}", ", ".join(wanted.labels)) for system in systems]
        self.task = wanted
        self.max_validation_rows = rows
        self.seed = seed
        self.chosen = ZeroShot(speaker, self.system_messages[0])

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:  # noqa: ARG002 -- it only chooses
        """Answer validation rows with each system message; of equally good ones the first is taken."""
        sample = validation
        if len(sample) > self.max_validation_rows:
            sample = random.Random(self.seed).sample(list(validation), self.max_validation_rows)  # noqa: S311 -- no secret
        merits = [
            self._validation_score(ZeroShot(self.language_model, system), sample) for system in self.system_messages
        ]
        self.chosen = ZeroShot(self.language_model, self.system_messages[index_of_best(merits)])
        report = [
            {"system": system, self.task.metric: merit}
            for system, merit in zip(self.system_messages, merits, strict=True)
        ]
        return {"chosen": {"system": self.chosen.prompt_encoder.system}, "tried": report, "chosen_on": len(sample)}

    def _validation_score(self, plain: ZeroShot, rows: Sequence[Pair]) -> float | None:
        if not rows:
            return None
        answers = plain.answer([*map(prompt_messages, rows)], progress="prompts, choosing")
        return mean_score(self.task, rows, [given.text for given in answers])

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Answer questions with the system message that was chosen."""
        return self.chosen.answer(questions)
