"""Laws of how often test rows decided: every model once, row by row, and never by the text of a prompt."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.arrays import UInts
from pipeline.holdout.reuse import (
    HOLDOUT_USES_FOLDER,
    LAST_USE_FILE,
    HoldoutUse,
    answered_prompt_hashes,
    count_holdout_uses,
    record_last_use,
    write_use,
)
from pipeline.holdout.scored_prompts import add_scored_prompts, read_scored_prompts
from tests.support.checked_pairs import Found, changed, only, questions

A, B, C = (hashlib.sha256(name).hexdigest() for name in (b"a", b"b", b"c"))
"""Weights of three models."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder before the first release."""
    for folder in (HOLDOUT_USES_FOLDER, LAST_USE_FILE.parent, "evaluate"):
        (tmp_path / folder).mkdir()
    return tmp_path


def answered(data: Path, prompts: Sequence[str]) -> UInts:
    """Rows that evaluate answered, as they are counted."""
    path = data / "evaluate" / "predictions.parquet"
    pq.write_table(pa.table({"prompt": list(prompts)}), path)
    return answered_prompt_hashes(path)


def decided(data: Path, adapter: str, prompts: Sequence[str]) -> bool:
    """A model is released and the next run begins: say whether that was another decision."""
    write_use(data / LAST_USE_FILE, answered(data, prompts))
    release = data / LAST_USE_FILE.with_name("release.json")
    release.write_text(json.dumps({"digests": {"adapter": adapter}}), encoding="utf-8")
    return record_last_use(data)


def use(data: Path, adapter: str, prompts: Sequence[str]) -> HoldoutUse:
    """How often some rows decided, when a model is about to be judged by them."""
    return count_holdout_uses(data / HOLDOUT_USES_FOLDER, answered(data, prompts), adapter)


ROWS_OF_THREE = ["one", "two", "three"]


def test_every_other_model_counts_once(data: Path) -> None:
    """Whatever came of it, however often it was released, and not at all when it is judged itself once more."""
    assert not record_last_use(data)
    assert use(data, A, ROWS_OF_THREE) == HoldoutUse(3, 3, 1.0)
    assert [decided(data, adapter, ROWS_OF_THREE) for adapter in (A, A, B, A)] == [True, False, True, False]
    assert use(data, A, ROWS_OF_THREE) == use(data, B, ROWS_OF_THREE) == HoldoutUse(3, 0, 2.0)
    assert use(data, C, ROWS_OF_THREE) == HoldoutUse(3, 0, 3.0)


def test_rows_are_counted_one_by_one(data: Path) -> None:
    """Fresh rows beside used ones make the set fresher by their share; rows that left are of no account."""
    decided(data, A, ROWS_OF_THREE)
    decided(data, B, ["three", "four"])
    assert use(data, C, ["one", "three", "four", "five"]) == HoldoutUse(4, 1, 1 + (1 + 2 + 1 + 0) / 4)
    assert use(data, C, ["five", "six"]) == HoldoutUse(2, 2, 1.0)


def test_a_model_that_is_judged_again_by_more_rows_counts_once_for_each(data: Path) -> None:
    """Old rows are not counted twice for the same weights, new ones are counted."""
    decided(data, A, ["one", "two"])
    decided(data, A, ["one", "two", "three"])
    assert use(data, B, ROWS_OF_THREE) == HoldoutUse(3, 0, 2.0)


def test_a_row_is_its_prompt_in_any_spelling(data: Path) -> None:
    """Case, blanks and the last mark make no fresh row; nor could another completion, which is not looked at."""
    decided(data, A, ["Where is my parcel?"])
    assert use(data, B, ["where is  my parcel"]).decisions == 2
    assert use(data, B, ["where is my other parcel"]).decisions == 1


def test_the_same_decision_is_the_same_file_and_holds_no_text(data: Path) -> None:
    """In any order of rows, so that branches merge; and of two models they are the same bytes, which git keeps once."""
    decided(data, A, ROWS_OF_THREE)
    decided(data, A, ROWS_OF_THREE[::-1])
    decided(data, B, ROWS_OF_THREE)
    files = sorted((data / HOLDOUT_USES_FOLDER).iterdir())
    assert sorted(path.name.split("-")[0] for path in files) == sorted([A[:16], B[:16]])
    (content,) = {path.read_bytes() for path in files}
    assert b"three" not in content
    assert np.all(np.diff(pq.read_table(files[0])["prompt"].to_numpy().astype(object)) > 0)


def test_what_the_gate_asks_for_brings_fresh_rows(data: Path, tmp_path: Path) -> None:
    """A source for the test set brings fresh ones alone; another salt draws some, beside those that stay tested."""
    tested, rules = tmp_path / "scored_prompts", only(changed(near_duplicate_similarity=1.0), "scored_before")
    tested.mkdir()
    rows = questions(200)
    first = [text for text, side in Found(rows, rules).kept.items() if side == "test"]
    decided(data, A, first)
    add_scored_prompts(tested, first)

    def then(rows: list, **replaced: str) -> HoldoutUse:
        found = Found(rows, rules.model_copy(update=replaced), tested=read_scored_prompts(tested))
        return use(data, B, [text for text, side in found.kept.items() if side == "test"])

    assert then(rows) == HoldoutUse(len(first), 0, 2.0)
    salted = then(rows, salt="other")
    assert (salted.rows - salted.fresh, salted.decisions < 2) == (len(first), True)
    assert then([*rows, *questions(30, split="test", start=500)]) == HoldoutUse(30, 30, 1.0)
