"""params.yaml as frozen, strict, typed sections; whatever is wrong in it comes out in one error."""

import json
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import UserError
from pipeline.params.baselines import Baselines
from pipeline.params.data import Ingest, Tokenize, Validate
from pipeline.params.evaluation import TASK_METRICS, Evaluate, Prompt, Register, Retrain
from pipeline.params.prices import Prices
from pipeline.params.training import Finetune, Model


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Params:
    """params.yaml, section by section."""

    model: Model
    prompt: Prompt
    ingest: Ingest
    validate: Validate
    tokenize: Tokenize
    baselines: Baselines
    finetune: Finetune
    evaluate: Evaluate
    register: Register
    prices: Prices
    retrain: Retrain

    @model_validator(mode="after")
    def steps_are_not_lost(self) -> Self:
        """A weight of 8 bits does not move by small steps; adapters are kept in float32 whatever the base is."""
        if self.finetune.adapter == "full" and self.model.dtype == "bfloat16":
            raise ValueError("model.dtype must be float32 when finetune.adapter is full")
        return self

    @model_validator(mode="after")
    def metric_fits_task(self) -> Self:
        """The gate can only use what evaluate measures."""
        fitting = [*TASK_METRICS[self.prompt.task], "rules"]
        if self.register.metric not in fitting:
            raise ValueError(f"register.metric must be one of {fitting} when prompt.task is {self.prompt.task}")
        if self.register.metric == "rules" and not self.evaluate.rules:
            raise ValueError("register.metric is rules, but evaluate.rules names none")
        return self

    @model_validator(mode="after")
    def scope_is_a_label(self) -> Self:
        """Only labels can be out of scope; whether the pairs have this one, evaluate sees."""
        label = self.evaluate.out_of_scope_label
        if label is not None and self.prompt.task != "labels":
            raise ValueError(f"evaluate.out_of_scope_label must be null when prompt.task is {self.prompt.task}")
        return self


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: With every fault in the file, a line each.
    """
    return parse_params(read_yaml(path), where=path.name)


def read_yaml(path: Path) -> Any:
    """Read YAML 1.2, as DVC does: `1e-4` is a number and `on` is text.

    Raises:
        UserError: If the file is missing or is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(str(path), "no such file", do="run this in the project's folder") from error
    except (YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date or number that is none
        raise UserError(path.name, f"not YAML: {error}", do="mend the line it names") from error


def parse_params(values: Any, *, where: str = "params.yaml") -> Params:
    """Make typed sections of plain values.

    Raises:
        UserError: With every fault, a line each.
    """
    try:
        # Through JSON, since its strict mode takes a list for a tuple and nothing else that YAML would bend.
        text = json.dumps(values, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(where, f"holds more than plain values: {error}", do="use sections, lists and values") from error
    try:
        return TypeAdapter(Params).validate_json(text)
    except ValidationError as error:
        faults = [describe_fault(fault) for fault in error.errors()]
        raise ParamsError(where, faults) from error


def describe_fault(fault: Any) -> str:
    """Put one fault into one line: which field, what is wrong, what stood there."""
    field = ".".join(str(part) for part in fault["loc"]) or "the file as a whole"
    got = fault["input"]
    shown = "" if isinstance(got, dict | list) or fault["type"] == "missing" else f" (got {got!r})"
    return f"{field}: {fault['msg'].removeprefix('Value error, ')}{shown}"


class ParamsError(UserError):
    """Everything that is wrong with params.yaml, at once."""

    def __init__(self, where: str, faults: list[str]) -> None:
        values = "one value is" if len(faults) == 1 else f"{len(faults)} values are"
        super().__init__(where, f"{values} wrong")
        self.faults = faults

    def __str__(self) -> str:
        return "\n  ".join([f"{super().__str__()}:", *self.faults])
