"""Test rows that other rows nearly have: what they are, and how many test rows are left without them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.columns import TEST, TRAIN, Columns, Numbers, prompts_of
from pipeline.near import Near, folded
from pipeline.neighbours import Flags, both_ways

OVERLAPS = pa.schema(
    [
        ("test_id", pa.string()),
        ("test_source", pa.string()),
        ("test_row", pa.int64()),
        ("source", pa.string()),
        ("row", pa.int64()),
        ("trained", pa.bool_()),
        ("jaccard", pa.float64()),
        ("test_prompt", pa.string()),
        ("prompt", pa.string()),
    ]
)
"""A test row, a row of another side that is nearly the same, whether it is trained on, and how alike they are."""


def overlaps_of(
    batches: Iterable[pa.RecordBatch], columns: Columns, near: Near, sides: Numbers, kept: Flags
) -> pa.Table:
    """Pair each kept test row with the rows of other sides that are nearly it; the most alike first."""
    who, whom = both_ways(near)
    jaccard = np.concatenate([near.jaccard, near.jaccard])
    crosses = (sides[who] == TEST) & kept[who] & (sides[whom] != TEST)
    who, whom, jaccard = who[crosses], whom[crosses], jaccard[crosses]
    order = np.lexsort((whom, who, -jaccard))
    who, whom, jaccard = who[order], whom[order], jaccard[order]
    texts = texts_at(batches, {*who.tolist(), *whom.tolist()})
    return pa.Table.from_pydict(
        {
            "test_id": [f"{columns.ids[at]:016x}" for at in who],
            "test_source": [columns.files[columns.sources[at]] for at in who],
            "test_row": columns.rows[who],
            "source": [columns.files[columns.sources[at]] for at in whom],
            "row": columns.rows[whom],
            "trained": kept[whom] & (sides[whom] == TRAIN),
            "jaccard": jaccard,
            "test_prompt": [texts[at] for at in who.tolist()],
            "prompt": [texts[at] for at in whom.tolist()],
        },
        schema=OVERLAPS,
    )


def texts_at(batches: Iterable[pa.RecordBatch], places: set[int]) -> dict[int, str]:
    """Read the prompts at some places."""
    found: dict[int, str] = {}
    start = 0
    for batch in batches if places else ():
        inside = [place for place in places if start <= place < start + len(batch)]
        some = batch.take(pa.array([place - start for place in inside], pa.int64()))
        found |= dict(zip(inside, prompts_of(some).to_pylist(), strict=True))
        start += len(batch)
    return found


def summed(overlaps: pa.Table, tested: int) -> dict[str, Any]:
    """Sum up: test rows, those equal to a row of another side, those near one, those near none that is trained on."""
    ids = np.array(overlaps["test_id"].to_pylist(), object)
    texts = zip(overlaps["test_prompt"].to_pylist(), overlaps["prompt"].to_pylist(), strict=True)
    same = np.array([folded(tested) == folded(other) for tested, other in texts], bool)
    trained = overlaps["trained"].to_numpy()
    return {
        "test_rows": tested,
        "equal": len(set(ids[same])),
        "near": len(set(ids)),
        "clean": tested - len(set(ids[trained])),
    }
