"""A tiny project, for fixtures that outlive a test: its params, its rows, and its stages run one after the other."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.baselines import stage as baselines
from pipeline.champion import CHAMPION_ADAPTER, CHAMPION_RECORD
from pipeline.files import write_json
from pipeline.finetune import stage as finetune
from pipeline.ingest import stage as ingest
from pipeline.params import Params, parse_params
from pipeline.tokenize import stage as tokenize
from tests.support.chat import SYSTEM
from tests.support.paths import PROJECT

SMALL: dict[str, dict[str, Any]] = {
    "prompt": {"system": SYSTEM},
    "validate": {"max_quarantined_share": 0.05, "near_duplicate_similarity": 1.0},
    "tokenize": {"max_seq_length": 100},
    "baselines": {"enabled": ["zero_shot"], "latency_rows": 1},
    "finetune": {"rank": 4, "alpha": 8, "epochs": 2, "batch_size": 4, "learning_rate": 0.03},
    "evaluate": {"batch_size": 4, "max_new_tokens": 8, "bootstrap_resamples": 200},
}
COLOURS = {"sky": "blue", "sea": "blue", "lake": "blue", "ice": "blue", "grass": "green", "rose": "red"}
ROWS = [(f"what colour is the {thing} on day {day}?", colour) for day in range(10) for thing, colour in COLOURS.items()]


def tiny_params(base: Path, **replaced: Any) -> Params:
    """The project's own params made small, on the tiny model; values replaced by dotted names."""
    values = YAML(typ="safe", pure=True).load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    values["model"] |= {"source": str(base), "sha256": None, "threads": 1}
    for section, small in SMALL.items():
        values[section] |= small
    for name, value in replaced.items():
        section, field = name.split(".")
        values[section][field] = value
    return parse_params(values)


def write_sources(folder: Path) -> None:
    """Lay down the rows as a user would, with one broken line, as the file that params.yaml names."""
    folder.mkdir(parents=True)
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in ROWS]
    (folder / "triage.jsonl").write_text("\n".join([*lines, '{"prompt": "cut off']) + "\n", encoding="utf-8")


def write_general(folder: Path) -> None:
    """Lay down texts to forget, in words that the tiny model knows."""
    folder.mkdir(parents=True)
    lines = [
        json.dumps({"text": f"the {thing} is {colour} on day {place}"})
        for place, (thing, colour) in enumerate(COLOURS.items())
    ]
    (folder / "texts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@cache
def finished(base: Path) -> tuple[Params, Path]:
    """Run all stages but the last, once a session: the params, and the data folder, to be copied before changed."""
    from pipeline.evaluate import stage as evaluate  # noqa: PLC0415 -- seconds to import, and not every user of this file needs
    from pipeline.validate import stage as validate  # noqa: PLC0415 -- seconds to import, and not every user of this file needs

    place = base.parent / "project"
    write_sources(place / "raw")
    params, data = tiny_params(base, **{"ingest.folder": str(place / "raw")}), place / "data"
    write_general(data / "general")
    ingest.run(params.ingest, data)
    validate.run(params.prompt, params.validate, data)
    tokenize.run(params.model, params.prompt, params.tokenize, data)
    baselines.run(params.model, params.prompt, params.baselines, judged(params), data)
    finetune.run(params.model, params.finetune, data)
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data, timed=1)
    return params, data


def judged(params: Params) -> baselines.ScoringParams:
    """What the baselines go by, of other sections than theirs."""
    evaluate = params.evaluate
    return baselines.ScoringParams(params.register.metric, evaluate.rules, evaluate.max_new_tokens, evaluate.batch_size)


def crown(data: Path, release: dict[str, Any]) -> None:
    """Make the model of `data/finetune` the champion, as the flow does, with this release."""
    shutil.copytree(data / "finetune" / "adapter", data / "champion" / CHAMPION_ADAPTER)
    write_json(data / "champion" / CHAMPION_RECORD, release)
