from collections.abc import Callable

from pipeline.dedup.minhash import near_duplicates
from pipeline.params import Params
from pipeline.validate.columns import SPLITS, ColumnReader
from pipeline.validate.contamination import find_overlaps, summarize_overlaps
from pipeline.validate.splits import assign_splits
from tests.support.checked_pairs import batch_of
from tests.support.column_pairs import pair

TEXT = "please tell me when the parcel that I ordered on the first of may will be with me"


def test_every_test_row_is_paired_with_what_nearly_equals_it(make_params: Callable[..., Params]) -> None:
    """The most alike first, each with its place and whether it is trained on; rows of one side are no overlap."""
    rules = make_params().validate
    pairs = [
        pair(f"{TEXT} now", split="train", row=1),
        pair(f"{TEXT}!", split="train", row=2),
        pair("something else", split="train", row=3),
        pair(TEXT, split="test", row=4, source="t.csv"),
        pair(f"{TEXT}?", split="test", row=5, source="t.csv"),
        pair("nothing like it", split="test", row=6, source="t.csv"),
    ]
    batch, reader = batch_of(pairs), ColumnReader("salt")
    near = near_duplicates(reader.texts([batch]), 0.8)
    columns = reader.columns()
    sides = assign_splits(columns, rules)
    assert [SPLITS[side] for side in sides] == [row.split for row in pairs]
    found = find_overlaps([batch.slice(0, 2), batch.slice(2)], columns, near, sides, columns.rows > -1)
    assert [(row["test_row"], row["row"], row["trained"]) for row in found.to_pylist()] == [
        (4, 2, True), (5, 2, True), (4, 1, True), (5, 1, True),
    ]  # fmt: skip
    first = found.to_pylist()[0]
    assert (first["test_source"], first["source"], first["jaccard"]) == ("t.csv", "a.jsonl", 1.0)
    assert (first["test_prompt"], first["prompt"], first["test_id"]) == (TEXT, f"{TEXT}!", pairs[3].id)
    assert summarize_overlaps(found, 3) == {"test_rows": 3, "equal": 2, "near": 2, "clean": 1}
    without = find_overlaps([batch], columns, near, sides, columns.rows > 2)
    assert not any(row["trained"] for row in without.to_pylist())
    assert summarize_overlaps(without, 3) == {"test_rows": 3, "equal": 2, "near": 2, "clean": 3}


def test_no_overlap_is_an_empty_table(make_params: Callable[..., Params]) -> None:
    """And every test row is clean."""
    rules = make_params().validate
    batch, reader = (
        batch_of([pair("one thing", split="train"), pair("another matter", split="test")]),
        ColumnReader("salt"),
    )
    near = near_duplicates(reader.texts([batch]), 0.8)
    columns = reader.columns()
    found = find_overlaps([batch], columns, near, assign_splits(columns, rules), columns.rows > 0)
    assert found.num_rows == 0
    assert summarize_overlaps(found, 1) == {"test_rows": 1, "equal": 0, "near": 0, "clean": 1}
