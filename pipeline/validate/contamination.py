"""Contamination: near-duplicates of test rows in other splits, and the clean test rows without any."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Bools, Ints
from pipeline.dedup.minhash import NearDuplicates
from pipeline.dedup.normalize import normalize
from pipeline.validate.columns import TEST, TRAIN, PairColumns, prompt_texts
from pipeline.validate.duplicates import run_positions, symmetric_pairs

OVERLAPS_SCHEMA = pa.schema(
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


def find_overlaps(
    batches: Iterable[pa.RecordBatch], columns: PairColumns, near: NearDuplicates, sides: Ints, kept: Bools
) -> pa.Table:
    """Pair each kept test row with a row of another side for each prompt that is nearly its own; most alike first."""
    tested = np.flatnonzero((sides == TEST) & kept)
    shown = representative_rows(columns, sides, kept)
    near = with_identical(near, len(columns.asked))
    prompts, whom = neighbours_of(columns.prompts[tested], near)
    there = shown[near.second[whom]] >= 0
    prompts, whom = tested[prompts[there]], whom[there]
    jaccard, whom = near.jaccard[whom], shown[near.second[whom]]
    order = np.lexsort((whom, prompts, -jaccard))
    prompts, whom, jaccard = prompts[order], whom[order], jaccard[order]
    texts = prompts_at(batches, {*prompts.tolist(), *whom.tolist()})
    return pa.Table.from_pydict(
        {
            "test_id": [f"{columns.ids[at]:016x}" for at in prompts],
            "test_source": [columns.files[columns.sources[at]] for at in prompts],
            "test_row": columns.rows[prompts],
            "source": [columns.files[columns.sources[at]] for at in whom],
            "row": columns.rows[whom],
            "trained": kept[whom] & (sides[whom] == TRAIN),
            "jaccard": jaccard,
            "test_prompt": [texts[at] for at in prompts.tolist()],
            "prompt": [texts[at] for at in whom.tolist()],
        },
        schema=OVERLAPS_SCHEMA,
    )


def representative_rows(columns: PairColumns, sides: Ints, kept: Bools) -> Ints:
    """Choose the row that stands for each prompt outside the test set: the first that is trained on, else the first."""
    representatives = np.full(len(columns.asked), -1)
    for rows in (sides != TEST, kept & (sides == TRAIN)):
        indices = np.flatnonzero(rows)[::-1]
        representatives[columns.prompts[indices]] = indices
    return representatives


def with_identical(near: NearDuplicates, number: int) -> NearDuplicates:
    """Give near-duplicates from both ends in the order of their first prompt, each prompt with itself among them."""
    left, whom = symmetric_pairs(near)
    every = np.arange(number)
    left, whom = np.concatenate([every, left]), np.concatenate([every, whom])
    jaccard = np.concatenate([np.ones(number), near.jaccard, near.jaccard])
    order = np.argsort(left, kind="stable")
    return NearDuplicates(left[order], whom[order], jaccard[order])


def neighbours_of(prompts: Ints, near: NearDuplicates) -> tuple[Ints, Ints]:
    """Give, for each of some prompts, the places in *near* (in the order of its first) that it begins."""
    opens, ends = (np.searchsorted(near.first, prompts, side=side) for side in ("left", "right"))
    lengths = ends - opens
    return np.repeat(np.arange(len(prompts)), lengths), np.repeat(opens, lengths) + run_positions(lengths)


def prompts_at(batches: Iterable[pa.RecordBatch], indices: set[int]) -> dict[int, str]:
    """Read the prompts at some places."""
    prompts: dict[int, str] = {}
    start = 0
    for batch in batches if indices else ():
        inside = [index for index in indices if start <= index < start + len(batch)]
        some = batch.take(pa.array([index - start for index in inside], pa.int64()))
        prompts |= dict(zip(inside, prompt_texts(some).to_pylist(), strict=True))
        start += len(batch)
    return prompts


def summarize_overlaps(overlaps: pa.Table, tested: int) -> dict[str, Any]:
    """Sum up: test rows, those equal to a row of another side, those near one, those near none that is trained on."""
    ids = np.array(overlaps["test_id"].to_pylist(), object)
    texts = zip(overlaps["test_prompt"].to_pylist(), overlaps["prompt"].to_pylist(), strict=True)
    same = np.array([normalize(tested) == normalize(other) for tested, other in texts], bool)
    trained = overlaps["trained"].to_numpy()
    return {
        "test_rows": tested,
        "equal": len(set(ids[same])),
        "near": len(set(ids)),
        "clean": tested - len(set(ids[trained])),
    }
