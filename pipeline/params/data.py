"""Sections on the pairs: where they come from, what a good one is, how they are split, how long they may be."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from pipeline.params.section import Positive, Section, Seed, Share

Split = Literal["train", "validation", "test"]


class Source(Section):
    """One file, or several by a pattern, of pairs."""

    path: str
    """Relative to `ingest.folder`; `*` and `**` match as in a shell."""
    format: Literal["auto", "jsonl", "json", "csv", "parquet"]
    """`auto` goes by the file's ending."""
    split: Split | None
    """Where all its rows go; null lets `validate` split them."""
    prompt_column: str | None
    completion_column: str | None
    """Columns of a table whose names do not say what they are; null finds the usual ones."""
    per_label: Positive | None
    """Take at most this many rows for each completion, chosen by `ingest.seed`; null takes all."""

    @model_validator(mode="after")
    def columns_together(self) -> Self:
        """One column alone makes no pair."""
        if (self.prompt_column is None) != (self.completion_column is None):
            raise ValueError("name both prompt_column and completion_column, or neither")
        return self


class Ingest(Section):
    """Where the pairs come from."""

    folder: str
    """Folder of the sources, tracked by git or DVC; `data/demo` or `data/raw`."""
    sources: tuple[Source, ...]
    seed: Seed

    @field_validator("sources")
    @classmethod
    def at_least_one(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        """Not by `min_length`, which would also call a list empty when something in it is wrong."""
        if not sources:
            raise ValueError("name at least one source")
        return sources


class Validate(Section):
    """What a good pair is, and how the pairs are split."""

    max_prompt_chars: Positive
    max_completion_chars: Positive
    max_quarantined: Share
    """Share of all rows that may be set aside before the run stops."""
    validation_share: Share
    test_share: Share
    """Not used when a source says that it is the test set."""
    salt: str
    """Changes which rows fall on which side of the split."""

    @model_validator(mode="after")
    def something_to_train_on(self) -> Self:
        """The held-out shares leave a training share."""
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share + test_share must leave rows to train on")
        return self


class Tokenize(Section):
    """How long a rendered pair may be."""

    max_tokens: Positive
