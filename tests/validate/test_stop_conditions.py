from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.pairs import Pair
from pipeline.validate.stop_conditions import (
    require_distinct,
    require_rows,
    stop_on_errors,
    stop_on_quarantined,
    stop_reason,
    training_label_set,
)
from tests.support.checked_pairs import LONG, Found, acting, changed, pair, questions

NO_TRAIN = (
    "3 good rows: the train split is empty; no source gives training rows: add one, or set the split of one to null"
)


@pytest.mark.parametrize(
    ("pairs", "values", "line"),
    [
        (questions(20), {"test_share": 0.0},
         "20 good rows: the test split is empty; add rows, or raise validate.test_share"),
        ([pair("prompt 4"), pair("prompt 5")], {},
         "2 good rows: the test split is empty; add rows, or raise validate.test_share"),
        (questions(3, split="test"), {},
         NO_TRAIN),
        ([*questions(9, split="train"), pair("", split="test")], {},
         "9 good rows: the test split is empty; look why none of the rows of the test source is good"),
    ],
)  # fmt: skip
def test_an_empty_side_stops_the_run(pairs: list[Pair], values: dict[str, Any], line: str) -> None:
    """Without a row to train on or to test on there is nothing to do, and the error says what to change."""
    found = Found(pairs, changed(**values))
    with pytest.raises(UserError) as caught:
        require_rows(found.judged)
    assert str(caught.value) == line


def test_an_empty_validation_side_is_allowed() -> None:
    """Who asks for no validation rows gets none."""
    found = Found(questions(100), changed(validation_share=0.0))
    require_rows(found.judged)
    assert "validation" not in found.kept.values()


def test_the_labels_are_those_of_the_training_rows() -> None:
    """Labels come sorted and once, and a label that only validation rows have is none."""
    train = [pair("a", "red", split="train"), pair("b", "blue", split="train"), pair("c", "red", split="train")]
    found = Found([*train, pair("d", "green", split="validation"), pair("e", "blue", split="test")])
    assert training_label_set(found.judged) == ["blue", "red"]


def test_a_test_label_that_training_lacks_stops_the_run() -> None:
    """A label that could never be answered is named with its rows, the most frequent first, five at most."""
    test = [pair(f"{label} {n}", label, split="test") for label in "abcdefg" for n in range(3 if label == "d" else 1)]
    found = Found([*test, pair("x", "a", split="train")])
    with pytest.raises(UserError) as caught:
        training_label_set(found.judged)
    assert str(caught.value) == (
        "the test split: labels that no training row has: 'd' (3 rows), 'b' (1 rows), 'c' (1 rows), 'e' (1 rows), "
        "'f' (1 rows); add training rows for them, or set prompt.task: text"
    )


def stopped(pairs: Sequence[Pair], unread: Sequence[str], limit: float) -> str:
    """The error of a run with these rows and this limit; empty if it goes on."""
    try:
        stop_on_quarantined(Found(pairs, unread=unread).judged, limit)
    except UserError as problem:
        return str(problem)
    return ""


def test_too_many_bad_rows_stop_the_run_with_counted_reasons() -> None:
    """The error says how many of how many, why, where they stand, and what to do."""
    pairs = [*questions(36), pair("", row=40), pair("", "no", row=41), pair("question 3", "no", row=42)]
    assert stopped(pairs, ["not_json"], 0.05) == (
        "validate.max_quarantined_share: 3 of 40 rows are bad: 2 empty_prompt, 1 not_json; expected at most 2 (0.05 of "
        "them); got all.jsonl row 40, all.jsonl row 41; look at them with `tunesmith check-data`, mend them, or raise "
        "the limit"
    )


@pytest.mark.parametrize(("rows", "limit", "stops"), [(57, 0.05, False), (56, 0.05, True), (57, 0.0, True)])
def test_the_limit_itself_is_allowed(rows: int, limit: float, *, stops: bool) -> None:
    """As many bad rows as params allow pass; one more in the share stops; a limit of zero lets none pass."""
    assert bool(stopped([*questions(rows), pair(""), pair("", "no"), pair("", "maybe")], [], limit)) is stops


def test_copies_are_no_faults() -> None:
    """A set may have any number of copies: they are set aside, and the run goes on."""
    pairs = [*questions(20), *questions(20)]
    assert len(Found(pairs).bad) == 20
    assert stopped(pairs, [], 0.0) == ""


def test_a_check_that_must_hold_stops_the_run() -> None:
    """The error names the check, the rows, what to do, and what else does not hold."""
    pairs = [*questions(20), pair("again", "Yes", row=21), pair("and \x07", "yes ", row=22)]
    found = Found(pairs, acting(control_characters="error"), labels=True)
    with pytest.raises(UserError) as caught:
        stop_on_errors(found.judged)
    assert str(caught.value) == (
        "validate.checks.control_characters: 1 rows break it; expected no control or replacement characters; got "
        "all.jsonl row 22; also label_spelling: 2 rows; export the text again as UTF-8, without terminal codes, or set "
        "it to warn"
    )


def test_prompts_that_share_an_instruction_are_not_taken_for_copies() -> None:
    """Where a fifth of all rows would be left out as near-duplicates, the run stops and says what to do."""
    pairs = [pair(f"{LONG} {n}", row=n) for n in range(60)]
    found = Found(pairs, changed(near_duplicate_similarity=0.8))
    with pytest.raises(UserError) as caught:
        require_distinct(found.judged)
    assert str(caught.value).startswith("validate.near_duplicate_similarity: ")
    assert str(caught.value).endswith(
        " rows are nearly the same as a held-out one; expected at most 20%; raise it; or, if the prompts share an "
        "instruction, move that into prompt.system; or set validate.checks.near_heldout to warn"
    )


def test_nothing_is_refused_without_a_reason() -> None:
    """Good pairs go on; of several reasons the first is told."""
    assert stop_reason(Found(questions(40)).judged, 0.0, labels=True) is None
    bad = Found([*questions(40), pair("", "new")], acting(empty_prompt="error"), labels=True)
    assert str(stop_reason(bad.judged, 0.0, labels=True)).startswith("validate.checks.empty_prompt: 1 rows break it;")
