"""A tiny project, for fixtures that outlive a test: its params, and its stages run one after the other."""

import copy
import json
from pathlib import Path
from typing import Any

from conftest import PROJECT, SYSTEM
from ruamel.yaml import YAML

from pipeline import evaluate, finetune, ingest, register, tokenize, validate
from pipeline.params import Params, parse_params

SMALL: dict[str, dict[str, Any]] = {
    "prompt": {"system": SYSTEM},
    "tokenize": {"max_tokens": 100},
    "finetune": {"rank": 4, "alpha": 8, "epochs": 2, "batch_rows": 4, "learning_rate": 0.01},
    "evaluate": {"batch_rows": 4, "max_new_tokens": 8, "resamples": 200},
}


def tiny_params(base: Path, **replaced: Any) -> Params:
    """The project's own params made small, on the tiny model; values replaced by dotted names."""
    values = YAML(typ="safe", pure=True).load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    values["model"] |= {"source": str(base), "sha256": None, "threads": 1}
    for section, small in copy.deepcopy(SMALL).items():
        values[section] |= small
    for name, value in replaced.items():
        section, field = name.split(".")
        values[section][field] = value
    return parse_params(values)


def write_sources(folder: Path) -> None:
    """Sixty rows of three labels and one broken line, as a user would lay them down."""
    folder.mkdir(parents=True)
    colours = {"sky": "blue", "grass": "green", "rose": "red"}
    rows = [
        {"prompt": f"what colour is the {thing} on day {day}?", "completion": colour}
        for day in range(20)
        for thing, colour in colours.items()
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "triage.jsonl").write_text("\n".join([*lines, '{"prompt": "cut off']) + "\n", encoding="utf-8")


def run_to_evaluate(params: Params, data: Path) -> None:
    """Run the first five stages in this process."""
    ingest.run(params.ingest, data)
    validate.run(params.prompt, params.validate, data)
    tokenize.run(params.model, params.prompt, params.tokenize, data)
    finetune.run(params.model, params.finetune, data)
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data)


def run_register(params: Params, data: Path) -> None:
    """Run the last stage in this process."""
    register.run(params.model, params.prompt, params.register, data)
