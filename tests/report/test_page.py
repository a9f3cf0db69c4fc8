"""Laws of the page of a run: each number and text on it is that of a recorded file, whatever the task."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import LEARNING_CURVE
from pipeline.baselines.label_errors import write_label_errors
from pipeline.evaluate.stage import measure_arms, write_predictions
from pipeline.files import write_json
from pipeline.generation.generate import Prediction
from pipeline.metrics.scoring import score_details, score_predictions
from pipeline.pairs import Message, Pair
from pipeline.register.gate import apply_gate
from pipeline.register.report.page import report_page
from pipeline.register.report.sections import LISTED_DISAGREEMENTS
from pipeline.register.stage import cost_report_of, read_evidence_files
from pipeline.register.verdict import decide_verdict
from tests.support.comparisons import FRESH
from tests.support.html_parser import HOSTILE, OUTER, Traced, agrees, recorded
from tests.support.measured_curve import CURVE
from tests.support.tiny_params import tiny_params

NUMBER = re.compile(r"(?<!\w)\d")
"""Not the digit in the name of a measure."""
OUR_NUMBERS = re.compile(r"95 % intervals?|F1|at the 95th of 100|1,000 requests")
"""What stands in our own words and was measured by nobody."""
LABELS = {
    "expected": ["red", "green", "blue", "red"] * 12,
    "fine-tuned": ["red", "green", "blue", "green"] * 6 + ["red", "green", "blue", "red"] * 6,
    "zero_shot": ["red"] * 48,
    "tfidf": ["green", "green", "blue", "red"] * 12,
}
TEXTS = {
    "expected": ["the parcel is on its way", "we are sorry"] * 12,
    "fine-tuned": ["the parcel is on its way", "sorry"] * 12,
    "zero_shot": ["no parcel", "we are sorry"] * 12,
}
JSONS = {
    "expected": ['{"do": "pay", "sum": 1}', '{"do": "ask", "sum": null}'] * 12,
    "fine-tuned": ['{"do": "pay", "sum": 1}', '{"do": "pay", "sum": null}'] * 12,
    "zero_shot": ["{}", "no"] * 12,
}
SPED = {"rows_per_second": 7.25, "request_seconds": {"n": 20, "p50": 8.96e-07, "p95": 11.4712}}
SUSPECTS: list[dict[str, object]] = [
    {"id": f"row {row}", "prompt": f"asked {row}", "label": "a", "suggested": "b", "probability": 0.987 - row / 50}
    for row in range(23)
]
LOST = {"value": 0.8125, "n": 70, "low": 0.71, "high": 0.89}
FORGOTTEN = {
    "texts": {"n": 40, "tokens": 2350, "before": LOST, "after": LOST, "rise": LOST},
    "questions": {"n": 70, "before": LOST, "after": LOST, "change": {"difference": -0.0125, "low": -0.1, "high": 0.05}},
}
TASKS = {"labels": ("accuracy", LABELS), "text": ("chrf", TEXTS), "json": ("fields_f1", JSONS)}


def lay_down(data: Path, task: str, answers: dict[str, list[str]] | None = None, metric: str | None = None) -> Path:
    """Write what the stages would of these answers, by their own code, and the page beside it."""
    usual, given = TASKS[task]
    answers = answers or given
    params = tiny_params(
        Path("none"), **{"prompt.task": task, "register.metric": metric or usual, "evaluate.rules": []}
    )
    expected, arms = answers["expected"], {name: said for name, said in answers.items() if name != "expected"}
    test = [Pair((Message("user", f"question {row}"),), want, "a", row, None, b"") for row, want in enumerate(expected)]
    found = {
        name: score_predictions(
            task, test, [Prediction(text, free=True, held=True, probability=0.75) for text in said], ()
        )
        for name, said in arms.items()
    }
    metrics = {"n": len(test), **measure_arms(found, np.ones(len(test), bool), params.evaluate, params.register)}
    decision = apply_gate(metrics["comparisons"], params.register, use=FRESH, is_champion=False)
    release = {
        "name": "colours", "verdict": decision.outcome, "reasons": decision.reasons,
        "checks": [asdict(check) for check in decision.checks],
        "worth": asdict(decide_verdict(metrics, params.register)),
    }  # fmt: skip
    baselines = [name for name in arms if name != "fine-tuned"]
    told = {
        "evaluate/metrics.json": metrics,
        "evaluate/details.json": {name: score_details(arm, params.evaluate) for name, arm in found.items()},
        "baselines/report.json": {
            "baselines": {name: {"rows": 24, "tokens_in": 98765, "tokens_out": 0} for name in baselines}
        },
        "baselines/cost.json": {
            name: {**SPED, "fit_seconds": 213.251, "rows_per_second": 17.3 + place}
            for place, name in enumerate(baselines)
        },
        "validate/report.json": {},
        "finetune/cost.json": {"seconds": 231.5},
        "evaluate/forgetting.json": FORGOTTEN,
        "evaluate/cost.json": {"fine-tuned": {**SPED, "rows": 24, "tokens_in": 4321, "tokens_out": 77}},
        "register/release.json": release,
    }
    for name, value in told.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        write_json(data / name, value)
    write_predictions(data / "evaluate/predictions.parquet", test, found)
    write_label_errors(data / "baselines/label_errors.parquet", SUSPECTS if task == "labels" else [])
    return data


def page_of(data: Path) -> str:
    """Render the page from the files, as register does."""
    release = json.loads((data / "register/release.json").read_text(encoding="utf-8"))
    files = read_evidence_files(data)
    cost = cost_report_of(files, tiny_params(Path("none")).prices, release["worth"])
    write_json(data / "register/cost.json", cost)
    return report_page(files | {"register/release.json": release, "register/cost.json": cost})


@pytest.mark.parametrize("task", TASKS)
def test_every_number_and_text_on_the_page_is_that_of_its_file(task: str, tmp_path: Path) -> None:
    """Each element with a source shows what the file has there; of its measures, none of any arm is left out."""
    data = lay_down(tmp_path, task)
    read = Traced(page_of(data))
    wrong = [(source, text) for source, text in read.shown if not agrees(text, recorded(data, source))]
    assert wrong == []
    metrics = recorded(data, "evaluate/metrics.json#")
    wanted = {
        f"evaluate/metrics.json#/arms/{arm}/{measure}/{part}"
        for arm, measures in metrics["arms"].items()
        for measure in measures
        for part in ("value", "low", "high", "n")
    }
    assert wanted <= {source for source, _ in read.shown}


@pytest.mark.parametrize("task", TASKS)
def test_no_number_stands_on_the_page_without_its_source(task: str, tmp_path: Path) -> None:
    """But for the scales of the charts, and a few in our own words."""
    words = [OUR_NUMBERS.sub("", text) for text in Traced(page_of(lay_down(tmp_path, task))).words]
    assert [text for text in words if NUMBER.search(text)] == []


def test_a_number_that_is_not_that_of_the_file_is_found(tmp_path: Path) -> None:
    """The trace itself: after a change in the file the page that was made before disagrees with it."""
    data = lay_down(tmp_path, "labels")
    page, metrics = page_of(data), recorded(data, "evaluate/metrics.json#")
    metrics["arms"]["tfidf"]["macro_f1"]["low"] += 0.001
    write_json(data / "evaluate/metrics.json", metrics)
    wrong = {source for source, text in Traced(page).shown if not agrees(text, recorded(data, source))}
    assert wrong == {"evaluate/metrics.json#/arms/tfidf/macro_f1/low"}


HEADINGS = {
    "labels": {"Each label", "Labels taken for others by the fine-tuned model"},
    "text": set(),
    "json": {"Each field"},
}


@pytest.mark.parametrize("task", TASKS)
def test_a_page_has_the_parts_of_its_task(task: str, tmp_path: Path) -> None:
    """What only another kind of task has is left out; the verdict stands before all headings."""
    page = page_of(lay_down(tmp_path, task))
    special = set().union(*HEADINGS.values())
    assert {name for name in special if f"<h2>{name}</h2>" in page} == HEADINGS[task]
    assert page.index('class="verdict"') < page.index("<h2>")
    assert page.count("<svg") == (3 if task == "labels" else 2)


def test_the_page_needs_nothing_from_the_network_and_no_script(tmp_path: Path) -> None:
    """No tag, attribute or style of it fetches or runs anything."""
    page = page_of(lay_down(tmp_path, "labels"))
    read = Traced(page)
    assert page.startswith("<!doctype html>")
    assert "http" not in page
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {one.tag for one in read.elements}
    assert not OUTER & {name for one in read.elements for name in one.attributes}
    assert not re.search(r"url\(|@import", page)


def test_text_of_the_data_stays_text(tmp_path: Path) -> None:
    """Labels and answers that look like HTML are shown as they are."""
    usual = TASKS["labels"][1]
    hostile = {arm: [HOSTILE if text == "red" else text for text in said] for arm, said in usual.items()}
    plain = Traced(page_of(lay_down(tmp_path / "a", "labels")))
    read = Traced(page_of(lay_down(tmp_path / "b", "labels", hostile)))
    assert {one.tag for one in read.elements} == {one.tag for one in plain.elements}
    assert not OUTER & {name for one in read.elements for name in one.attributes}
    assert HOSTILE in read.words
    assert HOSTILE in [text for _, text in read.shown]


def rows_under(page: str, title: str) -> list[str]:
    """The rows of the table under a heading, without its head."""
    return page.split(f"<h2>{title}</h2>")[1].split("<h2>", maxsplit=1)[0].split("<tr>")[2:]


@pytest.mark.parametrize("many", [3, LISTED_DISAGREEMENTS, LISTED_DISAGREEMENTS + 7])
def test_rows_on_which_the_two_differ_are_shown_up_to_a_limit(many: int, tmp_path: Path) -> None:
    """Those that only one has right, on its side; of more than the limit the page says that there are others."""
    rows = 40
    answers = {
        "expected": ["red"] * rows + ["green"] * 4,
        "fine-tuned": ["red"] * (rows + 4),
        "zero_shot": ["green"] * many + ["red"] * (rows - many) + ["green"] * 4,
    }
    page = page_of(lay_down(tmp_path, "labels", answers))
    better = rows_under(page, "Rows on which the fine-tuned model is better than zero_shot")
    worse = rows_under(page, "Rows on which the fine-tuned model is worse than zero_shot")
    assert (len(better), len(worse)) == (min(many, LISTED_DISAGREEMENTS), 4)
    assert ("Not all of them" in page) is (many > LISTED_DISAGREEMENTS)


def test_of_texts_those_furthest_apart_come_first(tmp_path: Path) -> None:
    """By the gate's measure of the row, not by their place in the file."""
    answers = {
        "expected": ["a long and winding road"] * 3,
        "fine-tuned": ["a long and winding road"] * 3,
        "zero_shot": ["a long and winding roar", "nothing", "a long road"],
    }
    page = page_of(lay_down(tmp_path, "text", answers))
    better = rows_under(page, "Rows on which the fine-tuned model is better than zero_shot")
    assert [re.findall(r"question (\d)", row) for row in better] == [["1"], ["2"], ["0"]]


def test_the_commonest_confusions_come_first_and_many_labels_make_no_picture(tmp_path: Path) -> None:
    """A list is always there; a picture that cannot be read is not."""
    labels = [f"label {chr(97 + n)}" for n in range(26)]
    wrong = [*labels[1:], labels[0]]
    answers = {
        "expected": [*labels, *labels[:2], labels[0]], "fine-tuned": [*wrong, *wrong[:2], wrong[0]],
        "zero_shot": [*labels, *labels[:2], labels[0]],
    }  # fmt: skip
    page = page_of(lay_down(tmp_path, "labels", answers))
    rows = rows_under(page, "Labels taken for others by the fine-tuned model")
    counts = [re.findall(r">([^<]+)<", row) for row in rows]
    assert counts[:2] == [["3", "label a", "label b"], ["2", "label b", "label c"]]
    assert len(rows) == LISTED_DISAGREEMENTS
    assert 'class="wide heat"' not in page


def test_a_curve_that_was_measured_is_on_the_page(tmp_path: Path) -> None:
    """From the file that `tunesmith learning-curve` writes; without one the page has no such part."""
    data = lay_down(tmp_path, "labels")
    assert CURVE["text"] not in page_of(data)
    release = json.loads((data / "register/release.json").read_text(encoding="utf-8"))
    write_json(
        data / "register/release.json", release | {"digests": {name: CURVE[name] for name in ("adapter", "test")}}
    )
    (data / LEARNING_CURVE).parent.mkdir()
    write_json(data / LEARNING_CURVE, CURVE)
    assert CURVE["text"] in page_of(data)


def test_a_run_without_baselines_has_a_page(tmp_path: Path) -> None:
    """It says that there is no evidence, and shows what the fine-tuned model has."""
    told = {name: said for name, said in TASKS["labels"][1].items() if name in ("expected", "fine-tuned")}
    page = page_of(lay_down(tmp_path, "labels", told))
    assert "Not enough evidence: no baseline answered" in page
    assert "Rows on which" not in page
    assert "<h2>Each label</h2>" in page


def test_what_a_baseline_did_not_tell_is_a_dash(tmp_path: Path) -> None:
    """A hosted model need not tell its tokens, nor was each request timed; that is no zero."""
    data = lay_down(tmp_path, "text")
    silent = {"fit_seconds": 45.0, "rows_per_second": 2.0, "request_seconds": {"n": 0, "p50": None, "p95": None}}
    write_json(data / "baselines/cost.json", {"zero_shot": silent})
    write_json(
        data / "baselines/report.json",
        {"baselines": {"zero_shot": {"rows": 24, "tokens_in": None, "tokens_out": None}}},
    )
    _, row = rows_under(page_of(data), "What it costs")
    shown = re.findall(r"<td[^>]*>(?:<span[^>]*>)?([^<]+)", row)
    assert shown == ["zero_shot", "0.001", "0.0111", "from 516 requests on", "-", "-", "2", "-", "-"]


def test_the_same_files_give_the_same_page(tmp_path: Path) -> None:
    """Byte for byte."""
    data = lay_down(tmp_path, "labels")
    assert page_of(data) == page_of(data)
