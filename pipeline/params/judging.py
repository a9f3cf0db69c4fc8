"""Sections on what is asked and what is a good answer: the prompt, the scores, the gate, a change of the pairs."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.section import Name, Positive, Section, Seed, Share

Task = Literal["labels", "text"]


class Prompt(Section):
    """What the model is told, and what kind of answer is wanted."""

    task: Task
    """`labels`: the completion is one of a few labels; `text`: it is free text."""
    system: str
    """System message put before each pair that has none of its own; empty for none."""


class Rule(Section):
    """A house rule that a program can check on a completion."""

    name: Name
    must_match: str | None = None
    must_not_match: str | None = None
    """Regular expressions, searched anywhere in the text; anchor with ^ and $."""
    min_words: Positive | None = None
    max_words: Positive | None = None

    @field_validator("must_match", "must_not_match")
    @classmethod
    def compiles(cls, pattern: str | None) -> str | None:
        """A broken pattern is found before the run."""
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def asks_something(self) -> Self:
        """A rule that nothing can break is a mistake."""
        if all(part is None for part in (self.must_match, self.must_not_match, self.min_words, self.max_words)):
            raise ValueError("a rule needs must_match, must_not_match, min_words or max_words")
        return self


class Evaluate(Section):
    """How the held-out rows are answered and scored."""

    batch_rows: Positive
    max_new_tokens: Positive
    """Length of a generated text; labels end by themselves."""
    resamples: Annotated[int, Field(ge=100)]
    """Bootstrap resamples behind an interval."""
    seed: Seed
    rules: tuple[Rule, ...]

    @field_validator("rules")
    @classmethod
    def names_differ(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        """Scores go by the name of their rule."""
        names = [rule.name for rule in rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are called {name!r}")
        return rules


class Register(Section):
    """When a model may become the champion, and under which name."""

    name: Name
    metric: Literal["accuracy", "exact_match", "chrf", "rules"]
    min_gain: Annotated[float, Field(ge=0, lt=1)]
    """The paired gain must lie above this with `confidence`; 0 means: surely better."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    equivalent: Share
    """How much less of the metric a cheaper rival may have and still count as as good as the fine-tuned model."""
    max_class_loss: Share
    """Share of a label's test rows that may be lost to the champion, net, unless chance alone explains it."""

    @model_validator(mode="after")
    def leaves_no_gap(self) -> Self:
        """Between as good and better there is nothing, else no number of rows would ever settle it."""
        if self.equivalent < self.min_gain:
            raise ValueError("equivalent must be at least min_gain")
        return self


class Retrain(Section):
    """What a change of the pairs calls for; read by `tunesmith diff` and by the flow, by no stage."""

    min_changed_rows: Positive
    """Changed training rows from which on training anew is worth it; fewer are only evaluated on."""
    max_relabelled_share: Share
    """Share of the rows of before that may have another completion for the same prompt; above it a person is asked."""
    max_removed_share: Share
    """Share of the rows of before that may be gone; above it a person is asked."""
    max_drift: Share
    """How far the mix of labels and the lengths of prompts may move (0: not at all, 1: nothing in common); above it a
    person is asked."""
    new_labels: Literal["retrain", "ask"]
    vanished_labels: Literal["retrain", "ask"]
    spelling: Literal["retrain", "skip"]
    """Rows that differ only by blanks, or by the case of their prompt: counted as changed, or not."""
