"""Laws of the gate and of the release, on a tiny project that ran through the real stages."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluate import stage as evaluate
from pipeline.files import read_json
from pipeline.hashing import file_digests, tree_digest
from pipeline.holdout.reuse import HoldoutUse, record_last_use
from pipeline.params import Params, Register
from pipeline.register import stage as register
from pipeline.register.card_sections import card_appendix
from pipeline.register.gate import apply_gate
from pipeline.register.model_card import detail_tables, model_card
from pipeline.register.verdict import decide_verdict
from tests.support.comparisons import metrics, rule, written
from tests.support.tiny_params import crown, finished

RELEASE, COST = "register/release.json", "register/cost.json"
FILES = {
    "pairs": "ingest/pairs.parquet",
    "train": "validate/train.parquet",
    "validation": "validate/validation.parquet",
    "test": "validate/test.parquet",
    "train_tokens": "tokenize/train.arrow",
    "validation_tokens": "tokenize/validation.arrow",
    "test_tokens": "tokenize/test.arrow",
    "history": "finetune/history.jsonl",
    "adapter": "finetune/adapter/adapter_model.safetensors",
    "predictions": "evaluate/predictions.parquet",
    "metrics": "evaluate/metrics.json",
}


@pytest.fixture(scope="module")
def params(base: Path) -> Params:
    return finished(base)[0]


@pytest.fixture(scope="module")
def done(base: Path, params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project with its first release; only to be read."""
    data = Path(shutil.copytree(finished(base)[1], tmp_path_factory.mktemp("register") / "data"))
    run(params, data)
    return data


@pytest.fixture
def data(done: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    (tmp_path / "data" / "holdout_uses").mkdir(parents=True)
    return Path(shutil.copytree(done, tmp_path / "data", dirs_exist_ok=True))


def run(params: Params, data: Path) -> dict[str, Any]:
    register.run(params.model, params.prompt, params.register, params.prices, data)
    return release_of(data)


def release_of(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(data / "register" / "release.json")
    return found


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("min_gain", 0.05, "outcome"), ("confidence", 0.99, "outcome"), ("max_label_regression", 0.05, "outcome"),
        ("non_inferiority_margin", 0.08, "answer"), ("max_holdout_uses", 1, "outcome"),
    ],
)  # fmt: skip
def test_every_limit_of_the_section_is_live(field: str, value: float, what: str) -> None:
    """Another value of any one of them makes another decision, or another verdict."""
    usual = {"min_gain": 0.0, "confidence": 0.95, "non_inferiority_margin": 0.05, "max_label_regression": 0.5}
    before, after = (outcomes(rule(**{**usual, **changed})) for changed in ({}, {field: value}))
    assert before[what] != after[what]


def outcomes(rules: Register) -> dict[str, str]:
    """What becomes of a model that is a little better than the champion, and of one that is as good as a baseline."""
    expected = ["a"] * 60 + ["b"] * 115
    tuned = np.array([1.0] * 50 + [0.0] * 10 + [1.0] * 75 + [0.0] * 40)
    champion = np.array([1.0] * 55 + [0.0] * 5 + [1.0] * 59 + [0.0] * 56)
    found = written(expected, {"fine-tuned": tuned, "champion": champion}, rules)
    baseline = decide_verdict(metrics(175, 100, {"tfidf": (9, 9)}, rules), rules)
    use = HoldoutUse(rows=175, fresh=0, decisions=2.0)
    return {
        "outcome": apply_gate(found["comparisons"], rules, use=use, is_champion=False).outcome,
        "answer": baseline.answer,
    }


def test_a_significant_gain_is_promoted(done: Path) -> None:
    """The first model that significantly beats its base becomes the champion; there was none before."""
    release = release_of(done)
    assert release["metrics"]["comparisons"]["zero_shot"]["low"] > 0
    assert (release["verdict"], release["champion_before"]) == ("promote", None)


def test_the_digests_of_the_release_are_those_of_the_files(done: Path, base: Path) -> None:
    """Each step from the pairs to the metrics is the SHA-256 of its file, and the base and the adapter are whole."""
    found = release_of(done)["digests"]
    report = read_json(done / "finetune" / "report.json")
    assert found == {
        **{name: hashlib.sha256((done / file).read_bytes()).hexdigest() for name, file in FILES.items()},
        "adapter_folder": tree_digest(file_digests(done / "finetune" / "adapter")),
        "base": tree_digest(file_digests(base)),
        "initial_adapter": report["initial_adapter"],
    }
    assert (report["adapter"], report["base_digest"]) == (found["adapter"], found["base"])


def test_the_release_holds_what_the_stages_reported(done: Path, params: Params) -> None:
    """Metrics, rows, training, environment, labels, model and prompt are in the release as they were written."""
    release = release_of(done)
    told = {
        "metrics": read_json(done / "evaluate" / "metrics.json"),
        "rows": read_json(done / "validate" / "report.json")["splits"],
        "profile": read_json(done / "validate" / "report.json")["profile"],
        "training": read_json(done / "finetune" / "report.json"),
        "environment": read_json(done / "finetune" / "environment.json"),
        "labels": ["blue", "green", "red"],
        "model": params.model.model_dump(),
        "prompt": params.prompt.model_dump(),
        "name": params.register.name,
    }
    assert {name: release[name] for name in told} == told
    assert set(release) == {*told, "verdict", "reasons", "checks", "worth", "champion_before", "digests", "held_out"}


def test_the_release_says_by_which_checks_and_whether_it_was_worth_it(done: Path) -> None:
    """Each check with its name, whether it passed and its words, which are the reasons; and the table of the arms."""
    release = release_of(done)
    assert [check["text"] for check in release["checks"]] == release["reasons"]
    assert [(check["check"], check["passed"]) for check in release["checks"]] == [
        ("gain over zero_shot", True), ("forgetting: texts", True), ("forgetting: questions", True),
        ("held-out rows", True),
    ]  # fmt: skip
    assert (release["worth"]["answer"], release["worth"]["baseline"], release["worth"]["metric"]) == (
        "ship",
        None,
        "accuracy",
    )
    told = {
        line["arm"]: {part: line[part] for part in ("value", "low", "high", "n")} for line in release["worth"]["table"]
    }
    assert told == {arm: measures["accuracy"] for arm, measures in release["metrics"]["arms"].items()}


def test_the_card_beside_the_release_is_its_card(done: Path) -> None:
    """README.md in data/register is the model card of that very release, line for line but for the digests' order."""
    card = (done / "register" / "README.md").read_text(encoding="utf-8")
    release, details = release_of(done), read_json(done / "evaluate" / "details.json")["fine-tuned"]
    files = register.read_evidence_files(done) | {name: read_json(done / name) for name in (RELEASE, COST)}
    told = model_card(release) + detail_tables(details) + card_appendix(files)
    assert sorted(card.splitlines()) == sorted(told.splitlines())


def test_every_number_on_the_card_stands_in_the_file_that_its_section_names(done: Path) -> None:
    """At the precision that is shown; percentages and points are hundredths of what is recorded."""
    card = (done / "register" / "README.md").read_text(encoding="utf-8")
    sections = card.split("\n## ")[1:]
    assert len(sections) >= 8
    for section in sections:
        named = re.search(r"\*From (.*?)[.;]", section.replace(".json", "#json"))
        assert named, section
        files = [name.replace("#json", ".json") for name in re.findall(r"`data/(\S+?)`", named[1])]
        known = [number for name in files for number in numbers_in(read_json(done / name))]
        body = OURS.sub("", section.split("*\n", 1)[1])
        for shown in NUMBER.findall(body):
            assert stands(shown.replace(",", ""), known), (shown, section[:60])


NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")
OURS = re.compile(
    r"95 % interval|1,000 requests|F1|`[^`]*`|fewer than \d+ test rows|\d+ of \d+ labels|0\.\d to \d\.\d \|"
)
"""What stands in our own words: names, units, how many labels there are, the tenths of how sure it was."""


def numbers_in(value: Any) -> Iterator[float]:
    """Every number in a file, also those in its texts."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(item)
    elif isinstance(value, str):
        yield from (float(number.replace(",", "")) for number in NUMBER.findall(value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def stands(shown: str, known: list[float]) -> bool:
    """Say whether a number is one of the known ones, rounded as it is shown."""
    unit = Decimal(1).scaleb(int(Decimal(shown).as_tuple().exponent))
    return any(abs(Decimal(one * times) - Decimal(shown)) <= unit / 2 for one in known for times in (1, 100))


def test_the_same_files_give_the_same_release(done: Path, data: Path, params: Params) -> None:
    """Run again, the stage writes the same bytes and no other file."""
    run(params, data)
    assert file_digests(data / "register") == file_digests(done / "register")
    names = {"release.json", "cost.json", "README.md", "report.html", "holdout_uses.parquet"}
    names |= {f"plots/{name}.csv" for name in ("train_loss", "validation_loss", "arms", "confusion")}
    assert set(file_digests(data / "register")) == names


def test_the_very_same_adapter_is_unchanged(data: Path, params: Params) -> None:
    """Once its model is the champion, the same model registered again says so and is not promoted twice."""
    champion = release_of(data)
    crown(data, champion)
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data, timed=1)
    again = run(params, data)
    assert (again["verdict"], again["reasons"]) == ("unchanged", ["these weights are the champion's, byte for byte"])
    assert again["champion_before"] == champion["digests"]["adapter"] == again["digests"]["adapter"]


def test_a_model_that_ties_with_another_champion_is_kept_back(data: Path, params: Params) -> None:
    """Against a champion of other weights and the same answers the verdict is keep, and names that champion."""
    champion = release_of(data)
    champion["digests"]["adapter"] = "f" * 64
    crown(data, champion)
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data, timed=1)
    again = run(params, data)
    assert (again["verdict"], again["champion_before"]) == ("keep", "f" * 64)
    *gains, classes, _, _, _ = again["reasons"]
    assert [reason.split(":")[0] for reason in gains] == [
        "not significantly better than the champion", "significantly better than the base model",
    ]  # fmt: skip
    assert classes.startswith("no label became worse than the champion's")


def test_the_same_weights_decide_once_however_often_they_are_registered(data: Path, params: Params) -> None:
    """The decision is kept when the next run begins; to look at it again gives the same bytes."""
    before = file_digests(data / "register")
    assert (record_last_use(data), record_last_use(data)) == (True, False)
    run(params, data)
    assert file_digests(data / "register") == before
    assert not record_last_use(data)


def test_another_model_by_the_same_rows_is_one_decision_more(data: Path, params: Params) -> None:
    """It is told by the check, the release and the card; past the limit nobody is promoted, however good."""
    record_last_use(data)
    (weights,) = (data / "finetune" / "adapter").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes() + b"other")
    rows = release_of(data)["metrics"]["n"]
    again = run(params, data)
    assert again["held_out"] == {"rows": rows, "fresh": 0, "decisions": 2.0, "limit": 20}
    assert again["reasons"][-1].startswith(
        f"holdout use 2 of 20, the mean over {rows} test rows, 0 of them used for the first time"
    )
    assert f"{rows} rows, 0 of them used" in (data / "register" / "README.md").read_text(encoding="utf-8")
    strict = params.register.model_copy(update={"max_holdout_uses": 1})
    register.run(params.model, params.prompt, strict, params.prices, data)
    assert (again["verdict"], release_of(data)["verdict"]) == ("promote", "keep")
