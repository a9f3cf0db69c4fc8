"""Laws of what a card tells beside the release; that every number is from the named file, test_register looks at."""

from typing import Any

import pytest

from pipeline.register.card_sections import card_appendix

HALF = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}
LINE = {"arm": "fine-tuned", "upfront": 0.0051, "per_1000": None, "request_p50": 0.25, "earned_back": ""}


def files(**replaced: Any) -> dict[str, Any]:
    """What register has read; files replaced by the ends of their names."""
    told: dict[str, Any] = {
        "validate/report.json": {
            "rows": {"in": 100, "kept": 98}, "splits": {"train": 70, "validation": 8, "test": 20},
            "overlap": {"test_rows": 20, "equal": 1, "near": 3, "clean": 16},
        },
        "evaluate/forgetting.json": {"texts": None, "questions": None},
        "evaluate/details.json": {"fine-tuned": {}},
        "register/release.json": {"worth": {"smallest": None}},
        "register/cost.json": {
            "text": "The training cost EUR 0.0051.", "lines": [LINE],
            "prices": {"currency": "EUR", "machine_hour": 0.08},
        },
    }  # fmt: skip
    return told | {name: value for name in told for end, value in replaced.items() if f"/{end}.json" in name}


def test_what_was_not_measured_has_no_section() -> None:
    """Data and cost are always told; nothing is said of what nobody looked at."""
    card = card_appendix(files())
    assert [line for line in card.splitlines() if line.startswith("## ")] == ["## The data", "## What it costs"]
    assert "| fine-tuned | 0.0051 | - | 0.25 |  |" in card


@pytest.mark.parametrize("part", ["texts", "questions"])
def test_what_was_forgotten_is_told_with_its_intervals(part: str) -> None:
    """Of the texts, and of the questions, whichever there are."""
    change = {"difference": -0.125, "low": -0.25, "high": 0.0625}
    rise = {"value": 0.3, "low": 0.2, "high": 0.4}
    lost = {
        "texts": None,
        "questions": None,
        part: {"n": 40, "before": HALF, "after": HALF, "rise": rise, "change": change},
    }
    card = card_appendix(files(forgetting=lost))
    wanted = {"texts": "a rise of +0.300 (+0.200 to +0.400)", "questions": "a change of -0.125 (-0.250 to +0.062)"}
    assert [name for name, words in wanted.items() if words in card] == [part]
    assert "*From `data/evaluate/forgetting.json`.*" in card


def test_the_limits_are_those_that_the_evidence_shows() -> None:
    """Labels with few test rows, labels taken for others more than once, and gains too small to be seen."""
    details = {
        "fine-tuned": {
            "classes": {"a": {"recall": HALF}, "b": {"recall": {**HALF, "n": 12}}, "c": {}},
            "confusion": {"a": {"a": 5, "b": 3, "c": 1}, "b": {"b": 12}},
        }
    }
    card = card_appendix(files(details=details, release={"worth": {"smallest": 0.142}}))
    limits = card.split("## Limits")[1]
    assert "1 of 2 labels have fewer than 10 test rows, the least 8." in limits
    assert "3 rows of a were answered with b." in limits
    assert "`c`" not in limits
    assert "less than 14.2 points" in limits
