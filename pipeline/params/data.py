"""Sections on the pairs: where they come from, what a good one is, how they are split, how long they may be."""

import codecs
import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.section import Fraction, Positive, Section, Seed, require_commit

Split = Literal["train", "validation", "test"]
MaskableAction = Literal["error", "quarantine", "mask", "warn", "off"]
RowAction = Literal["error", "quarantine", "warn", "off"]
DatasetAction = Literal["error", "warn", "off"]
"""What becomes of a row that breaks a check: the run stops, it is set aside, it is only reported, nobody looks."""

REMOTE = re.compile(r"^(https?|s3|gs|az|hf)://.+")
DATASET = re.compile(r"^hf://datasets/(?P<name>[^/@]+/[^/@]+)@(?P<revision>[^/]+)/(?P<path>[^/].*)$")


class Source(Section):
    """One file of pairs, or several by a folder or a pattern."""

    path: str
    """Relative to `ingest.folder`; a folder is all its files of rows, `*` and `**` match as in a shell. Or an address:
    `https://`, `s3://`, `gs://`, `az://`, `hf://datasets/OWNER/NAME@COMMIT/FILE-OR-SPLIT`."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    """Digest of a file at an address, which DVC does not see; null for the other kinds."""
    format: Literal["auto", "jsonl", "json", "csv", "parquet"]
    """`auto` goes by how a file begins, else by its suffix."""
    encoding: str | None
    """By Python's name (`latin-1`, `cp1252`, `utf-16`); null is UTF-8, or what a mark at the beginning says."""
    delimiter: Annotated[str, Field(pattern=r"^[^\r\n\"]$")] | None
    """What stands between the columns of a table; null finds it among `, ; | tab`."""
    split: Split | None
    """Where all its rows go; null lets `validate` split them."""
    prompt_column: str | None
    completion_column: str | None
    """Columns of a table whose names do not say what they are; null finds the usual ones."""
    per_label: Positive | None
    """Take at most this many rows for each completion, chosen by `ingest.seed`; null takes all."""

    @field_validator("path")
    @classmethod
    def pinned(cls, path: str) -> str:
        """Refuse an address of an unknown kind, and what may name other rows tomorrow."""
        if "://" in path and not REMOTE.match(path):
            raise ValueError("expected a path, or an address of https, s3, gs, az or hf")
        if path.startswith("hf://"):
            match = DATASET.fullmatch(path)
            if not match:
                raise ValueError("expected hf://datasets/OWNER/NAME@COMMIT/FILE-OR-SPLIT")
            require_commit(match["revision"])
        elif REMOTE.match(path) and "*" in path:
            raise ValueError("an address names one file, which one digest pins")
        return path

    @field_validator("encoding")
    @classmethod
    def known_encoding(cls, encoding: str | None) -> str | None:
        """Refuse a name that Python does not know as an encoding of text."""
        if encoding is not None:
            try:
                "".encode(encoding)
                codecs.getincrementaldecoder(encoding)
            except (LookupError, ValueError) as error:
                raise ValueError("no encoding of that name; latin-1, cp1252 and utf-16 are some") from error
        return encoding

    @model_validator(mode="after")
    def settings_fit_format(self) -> Self:
        """A setting that would be without effect is one that was meant otherwise."""
        if self.delimiter is not None and self.format not in ("auto", "csv"):
            raise ValueError(f"delimiter is for tables; set it to null, or format to csv (format is {self.format})")
        if self.encoding is not None and self.format == "parquet":
            raise ValueError("encoding is for text; set it to null (format is parquet)")
        if self.sha256 is not None and (self.path.startswith("hf://") or not REMOTE.match(self.path)):
            raise ValueError("sha256 is for a file at an address; DVC pins what is here, and hf:// its commit")
        return self

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


class Checks(Section):
    """What becomes of rows that break each check; `pipeline.validate.expectations` says what each expects."""

    empty_prompt: RowAction
    empty_completion: RowAction
    prompt_too_long: RowAction
    completion_too_long: RowAction
    control_characters: RowAction
    mojibake: RowAction
    markup: RowAction
    secret: MaskableAction
    pii: MaskableAction
    """`mask` puts the name of its kind in its place."""
    other_language: RowAction
    answer_in_prompt: RowAction
    not_json: RowAction
    """Completions that are not JSON, where `prompt.task` is json."""
    unknown_label: RowAction
    label_spelling: RowAction
    duplicate: RowAction
    also_in_test: RowAction
    also_in_validation: RowAction
    scored_before: RowAction
    """Rows outside the test set that were in an earlier one that a model was scored on, or nearly were."""
    near_test: RowAction
    """Training rows near a row of a test or validation set that a source gives."""
    near_heldout: RowAction
    """Training rows near a row that was drawn for test or validation."""
    near_duplicate: RowAction
    conflict: RowAction
    near_conflict: RowAction
    rare_label: RowAction
    dominant_label: RowAction
    drift: DatasetAction
    """Of all training rows together, against the champion's."""


class Validate(Section):
    """What a good pair is, and how the pairs are split."""

    max_prompt_chars: Positive
    max_completion_chars: Positive
    max_quarantined_share: Fraction
    """Share of all rows that may be set aside for a fault of their own before the run stops."""
    near_duplicate_similarity: Annotated[float, Field(ge=0.7, le=1)]
    """Two prompts with at least this share of their four-letter pieces in common (Jaccard) are
    near-duplicates; below 0.7 the search would miss more than one in a hundred."""
    languages: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...], Field(min_length=1)] | None
    """ISO 639 codes of the languages that prompts may be in; null: nobody asks."""
    labels: Annotated[tuple[str, ...], Field(min_length=1)] | None
    """The labels that there are; null takes whatever the completions are."""
    min_label_rows: Positive
    max_label_share: Annotated[float, Field(gt=0, le=1)]
    """Of training rows, for the checks `rare_label` and `dominant_label`."""
    max_drift: Annotated[float, Field(gt=0, le=1)]
    """Share of the training rows (or words) that would have to be others for their labels, lengths or words to be
    spread as the champion's were."""
    checks: Checks
    validation_share: Fraction
    test_share: Fraction
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
    """How long a rendered pair may be, and what of it is learnt."""

    max_seq_length: Positive
    """Tokens of a rendered pair."""
    max_too_long_share: Fraction
    """Share of the rows of a split that may have more, and are set aside, before the run stops."""
    train_on: Literal["completion", "all_assistant_turns"]
    """`completion`: the last answer; `all_assistant_turns`: also the answers that its prompt holds."""
