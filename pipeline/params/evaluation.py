"""Sections on what is asked and what is a good answer: the prompt, the scores, the gate, a change of the pairs."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.section import Fraction, Name, Positive, Section, Seed

Task = Literal["labels", "text", "json"]


TextList = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
TASK_METRICS: dict[Task, tuple[str, ...]] = {
    "labels": ("accuracy",),
    "text": ("exact_match", "chrf", "rouge_l"),
    "json": ("json_exact", "fields_f1", "json_valid"),
}
"""Scores that each row has, by task; `rules` comes with every task."""


class Prompt(Section):
    """The task of the model: its system message, and the kind of answer."""

    task: Task
    """`labels`: the completion is one of a few labels; `text`: it is free text; `json`: it is JSON."""
    system: str
    """System message put before each pair that has none of its own; empty for none."""


class Rule(Section):
    """A house rule that a program can check on an answer; each part that is given must be kept."""

    name: Name
    must_match: str | None = None
    must_not_match: str | None = None
    """Regular expressions, searched anywhere in the text; anchor with ^ and $."""
    must_contain: TextList | None = None
    must_not_contain: TextList | None = None
    """Plain texts: all of the first, none of the second, in the very case."""
    min_words: Positive | None = None
    max_words: Positive | None = None
    min_chars: Positive | None = None
    max_chars: Positive | None = None
    json_schema: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.json$")] | None = None
    """A file in the folder `rules/`: the answer is JSON that it allows."""
    python: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*:[A-Za-z_]\w*$")] | None = None
    """`file:function` in the folder `rules/`, without `.py`: takes the answer and its prompt, and says True or False,
    or a number from 0 to 1. The same texts must always get the same."""

    @property
    def files(self) -> list[str]:
        """The files in the folder `rules/` that it names."""
        module = self.python and f"{self.python.partition(':')[0]}.py"
        return [name for name in (self.json_schema, module) if name]

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
        parts = [name for name in type(self).model_fields if name != "name"]
        if all(getattr(self, part) is None for part in parts):
            raise ValueError(f"a rule needs one of {', '.join(parts)}")
        return self

    @model_validator(mode="after")
    def can_be_kept(self) -> Self:
        """So is one that nothing can keep."""
        for least, most in (("min_words", "max_words"), ("min_chars", "max_chars")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise ValueError(f"{least} is above {most}")
        return self


class Evaluate(Section):
    """How the held-out rows are answered and scored."""

    batch_size: Positive
    """Rows answered together."""
    max_new_tokens: Positive
    """Length of a generated text; labels end by themselves."""
    bootstrap_resamples: Annotated[int, Field(ge=100)]
    """Bootstrap resamples behind an interval."""
    seed: Seed
    out_of_scope_label: str | None
    """The label of messages that belong to none of the others; null if there is none."""
    rules: tuple[Rule, ...]
    forgetting_probe: Annotated[str, Field(min_length=1)]
    """A folder of general texts and questions, on which it is measured what the fine-tuned model forgot."""

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
    metric: Literal["accuracy", "exact_match", "chrf", "rouge_l", "json_exact", "fields_f1", "json_valid", "rules"]
    """Of those that each row has a score of; `TASK_METRICS` says which fit the task."""
    min_gain: Annotated[float, Field(ge=0, lt=1)]
    """The paired gain must lie above this with `confidence`; 0 means: significantly better."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    non_inferiority_margin: Fraction
    """How much less of the metric a cheaper baseline may have and still be non-inferior to the fine-tuned model."""
    max_label_regression: Fraction
    """Share of a label's test rows that may be lost to the champion, net, unless chance alone explains it."""
    max_forgetting_nats: Annotated[float, Field(ge=0)]
    """Nats a token by which the loss on general texts may rise over the base model's: the upper end of its interval."""
    max_question_regression: Fraction
    """Share of general questions that may be lost to the base model, net, unless chance alone explains it."""
    max_holdout_uses: Positive
    """Models that the same test rows may decide about; past it none is promoted until there are fresh rows."""

    @model_validator(mode="after")
    def leaves_no_gap(self) -> Self:
        """Between non-inferior and better there is nothing, else no number of rows would ever settle it."""
        if self.non_inferiority_margin < self.min_gain:
            raise ValueError("non_inferiority_margin must be at least min_gain")
        return self


class Retrain(Section):
    """What a change of the pairs calls for; read by `tunesmith diff` and by the flow, by no stage."""

    min_changed_rows: Positive
    """Changed training rows from which on training anew is worth it; fewer are only evaluated on."""
    max_relabelled_share: Fraction
    """Share of the rows of before that may have another completion for the same prompt; above it a person is asked."""
    max_removed_share: Fraction
    """Share of the rows of before that may be gone; above it a person is asked."""
    max_drift: Fraction
    """How far the mix of labels and the lengths of prompts may drift, measured as by `validate.max_drift`; above it a
    person is asked."""
    new_labels: Literal["retrain", "ask"]
    vanished_labels: Literal["retrain", "ask"]
    spelling: Literal["retrain", "skip"]
    """Rows that differ only by blanks, or by the case of their prompt: counted as changed, or not."""
