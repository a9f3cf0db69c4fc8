"""A model that was really trained on wrong labels of one class, and is better on average: the gate names the class."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.baselines import stage as baselines
from pipeline.evaluate import stage as evaluate
from pipeline.files import read_json
from pipeline.finetune import stage as finetune
from pipeline.ingest import stage as ingest
from pipeline.params import load_params
from pipeline.register import stage as register
from pipeline.tokenize import stage as tokenize
from pipeline.validate import stage as validate
from tests.support.repositories import PROJECT
from tests.support.sources import PLAIN
from tests.support.tiny_params import crown, judged, tiny_params

pytestmark = [pytest.mark.slow, pytest.mark.real_base]

THINGS = {"sky": "blue", "grass": "green", "rose": "red"}
TRAINED = {"sky": 16, "grass": 40, "rose": 16}
TESTED = {"sky": 12, "grass": 40, "rose": 12}


def rows(many: dict[str, int], first: int, wrong: dict[str, str]) -> str:
    """Questions whose answer one word decides; of some things seven answers in eight are wrong."""
    told = [
        {
            "prompt": f"what colour is the {thing} on day {day}?",
            "completion": wrong.get(thing, colour) if day % 8 else colour,
        }
        for thing, colour in THINGS.items()
        for day in range(first, first + many[thing])
    ]
    return "".join(json.dumps(row) + "\n" for row in told)


def made(place: Path, wrong: dict[str, str]) -> dict[str, Any]:
    """Train, evaluate and register a model by the stages, beside the champion that is there; give its release."""
    (place / "raw").mkdir(parents=True, exist_ok=True)
    (place / "raw" / "train.jsonl").write_text(rows(TRAINED, 0, wrong), encoding="utf-8")
    (place / "raw" / "test.jsonl").write_text(rows(TESTED, 100, {}), encoding="utf-8")
    sources = [{**PLAIN, "path": "train.jsonl", "split": None}, {**PLAIN, "path": "test.jsonl", "split": "test"}]
    learning = {"learning_rate": 0.002, "epochs": 4, "batch_size": 8, "rank": 8, "alpha": 16}
    model = load_params(PROJECT / "params.yaml").model
    params = tiny_params(
        Path("none"),
        **{
            "ingest.folder": str(place / "raw"),
            "ingest.sources": sources,
            "model.source": model.source,
            "model.sha256": model.sha256,
        },
        **{f"finetune.{name}": value for name, value in learning.items()},
    )
    data = place / "data"
    ingest.run(params.ingest, data)
    validate.run(params.prompt, params.validate, data)
    tokenize.run(params.model, params.prompt, params.tokenize, data)
    baselines.run(params.model, params.prompt, params.baselines, judged(params), data)
    finetune.run(params.model, params.finetune, data)
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data, timed=1)
    register.run(params.model, params.prompt, params.register, params.prices, data)
    found: dict[str, Any] = read_json(data / "register" / "release.json")
    return found


def test_a_class_with_wrong_labels_is_named_though_the_average_rose(tmp_path: Path) -> None:
    """The champion learnt that grass is blue, and so misses most rows; the new model knows it, and lost roses."""
    first = made(tmp_path / "first", {"grass": "blue"})
    crown(tmp_path / "first" / "data", first)
    (tmp_path / "second" / "data").mkdir(parents=True)
    (tmp_path / "first" / "data" / "champion").rename(tmp_path / "second" / "data" / "champion")
    second = made(tmp_path / "second", {"rose": "blue"})
    arms = second["metrics"]["arms"]
    assert arms["fine-tuned"]["accuracy"]["value"] > arms["champion"]["accuracy"]["value"]
    assert second["verdict"] == "keep"
    failed = [check for check in second["checks"] if not check["passed"]]
    assert [check["check"] for check in failed] == ["class red"]
