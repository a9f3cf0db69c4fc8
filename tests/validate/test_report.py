import itertools
from typing import Any

import pytest

from pipeline.pairs import Quarantined
from pipeline.validate.report import validation_page
from tests.support.html_parser import HOSTILE, OUTER, Read


def check(**replaced: Any) -> dict[str, Any]:
    """What one check found."""
    return {"action": "quarantine", "fix": "mend it", "first": "a.jsonl row 1", **replaced}


def overlap(**replaced: Any) -> dict[str, Any]:
    """A test row that training nearly has."""
    told = {"test_source": "test.csv", "test_row": 3, "test_prompt": "is it open?", "source": "train.csv", "row": 5}
    return {**told, "prompt": "is it open now?", "trained": True, "jaccard": 0.874, **replaced}


def report(**replaced: Any) -> dict[str, Any]:
    """What validate reports of a small set."""
    checks = [
        check(reason="empty_prompt", expects="the prompt is not empty", rows=0),
        check(reason="duplicate", expects="no second copy", rows=1200),
        check(reason="conflict", expects="one prompt has one completion", action="warn", rows=3),
    ]
    overlap = {"test_rows": 2000, "equal": 11, "near": 176, "clean": 1838}
    rows = {"in": 12345, "unreadable": 7, "set_aside": 1200, "kept": 11138}
    splits = {"train": 8000, "validation": 1138, "test": 2000}
    return {
        "rows": rows, "splits": splits, "checks": checks, "overlap": overlap, "labels": {"a": 40, "b": 10},
        "drift": {"action": "warn", "compared": []}, **replaced,
    }  # fmt: skip


def row(**replaced: Any) -> Quarantined:
    """A row set aside."""
    return Quarantined(
        **{"source": "a.jsonl", "row": 7, "reason": "not_json", "detail": "why", "raw": b"{bad", **replaced}
    )


def test_the_page_needs_nothing_from_the_network() -> None:
    """No tag, attribute or style of the page fetches anything, and no address stands in it."""
    page = validation_page(report(), [overlap()], [row()])
    read = Read(page)
    assert page.startswith("<!doctype html>")
    assert "http" not in page
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(read.tags)
    assert not OUTER & read.attributes
    assert read.styles
    assert not [style for style in read.styles if "url(" in style or "@import" in style]


@pytest.mark.parametrize(
    ("values", "near", "aside"),
    [
        ({"labels": {HOSTILE: 3}}, {}, {}),
        ({"checks": [check(reason="r", expects=HOSTILE, rows=0)]}, {}, {}),
        ({"splits": {HOSTILE: 3}}, {}, {}),
        ({}, {"prompt": HOSTILE}, {}),
        ({}, {"test_prompt": HOSTILE}, {}),
        ({}, {}, {"source": HOSTILE}),
        ({}, {}, {"reason": HOSTILE}),
        ({}, {}, {"detail": HOSTILE}),
        ({}, {}, {"raw": HOSTILE.encode()}),
    ],
    ids=["label", "expects", "split", "prompt", "test_prompt", "source", "reason", "detail", "raw"],
)
def test_text_of_the_data_stays_text(values: dict[str, Any], near: dict[str, Any], aside: dict[str, Any]) -> None:
    """Markup inside a row, a label or a file's name is shown letter for letter and never becomes a part of the page."""
    plain = Read(validation_page(report(), [overlap()], [row()]))
    read = Read(validation_page(report(**values), [overlap(**near)], [row(**aside)]))
    assert HOSTILE in read.texts
    assert set(read.tags) <= set(plain.tags)
    assert read.attributes <= plain.attributes


def test_the_page_shows_the_numbers_of_the_report() -> None:
    """Rows read, kept and set aside (here and unreadable ones), and the sides of the split, stand at the top."""
    texts = Read(validation_page(report(), [], [])).texts
    rows = {("12,345", "rows read"), ("11,138", "kept"), ("1,207", "set aside")}
    sides = {("8,000", "train"), ("1,138", "validation"), ("2,000", "test")}
    assert rows | sides <= set(itertools.pairwise(texts))


def test_each_expectation_says_how_it_came_out() -> None:
    """One that holds, one that set rows aside and one that only warns are told apart, with how many rows break it."""
    texts = Read(validation_page(report(), [], [])).texts
    places = [texts.index(f"{what}") for what in ("the prompt is not empty", "no second copy")]
    more = "a.jsonl row 1: mend it"
    assert texts[places[0] - 1 : places[0] + 3] == ["holds", "the prompt is not empty", "0", "row set aside"]
    assert texts[places[1] - 1 : places[1] + 4] == ["broken", "no second copy", more, "1,200", "row set aside"]
    place = texts.index("one prompt has one completion")
    assert texts[place - 1 : place + 4] == ["warning", "one prompt has one completion", more, "3", "reported only"]


def test_the_page_names_the_test_rows_that_training_nearly_has() -> None:
    """How many are equal, near and clean, and of each pair both texts, where they stand, and how alike they are."""
    texts = Read(validation_page(report(), [overlap()], [])).texts
    assert [text for text in texts if text.startswith("Of 2,000 test rows, 11 equal a row outside")]
    place = texts.index("0.87")
    assert texts[place : place + 6] == [
        "0.87", "test.csv row 3", "is it open?", "train.csv row 5", "is it open now?", "yes",
    ]  # fmt: skip


def test_the_bar_of_a_label_is_its_share_of_the_commonest() -> None:
    """The most frequent label fills its cell, one a quarter as common a quarter of it."""
    styles = Read(validation_page(report(labels={"a": 40, "b": 10}), [], [])).styles
    assert [style for style in styles if style.endswith("%") and style != "width:50%"] == [
        "width:100.0%",
        "width:25.0%",
    ]


def test_a_task_without_labels_has_no_list_of_labels() -> None:
    """Free texts are no labels, so the page leaves their heading out."""
    assert "Labels" in Read(validation_page(report(), [], [])).texts
    assert "Labels" not in Read(validation_page(report(labels={}), [], [])).texts


def test_a_clean_set_says_that_no_row_was_set_aside() -> None:
    """Where the table of rows would be stands one word."""
    assert Read(validation_page(report(), [], [])).texts[-2:] == ["Rows set aside", "None."]


@pytest.mark.parametrize(("rows", "shown", "more"), [(200, 200, False), (201, 200, True), (1500, 200, True)])
def test_a_page_shows_two_hundred_rows_and_says_how_many_there_are(rows: int, shown: int, *, more: bool) -> None:
    """A page stays small however bad the data, and never hides that there is more."""
    page = validation_page(report(), [], [row(row=number, detail=f"detail {number}") for number in range(rows)])
    assert sum(text.startswith("detail ") for text in Read(page).texts) == shown
    assert (f"The first 200 of {rows:,}; all are in quarantine.parquet." in page) is more


def test_a_row_that_is_no_text_is_shown_as_far_as_it_goes() -> None:
    """Bytes that are not UTF-8 show as marks, and a long row by its first 300 characters."""
    texts = Read(validation_page(report(), [], [row(raw=b"\xff{" + b"x" * 1000)])).texts
    assert "\ufffd{" + "x" * 298 in texts
