"""Prompts that a model was ever scored on: data/scored_prompts/, which the flow adds to and validate reads.

Kept as hashes, not as texts: what was deleted from the data for a reason is not kept here. A file a test set, so that
two branches that add some merge.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dedup.minhash import NGramSets, concat_ngrams, hash_ngrams, slices_by_size
from pipeline.dedup.normalize import normalize, text_hash
from pipeline.files import atomic_write
from pipeline.holdout.prompts import read_answered_prompts

SCORED_PROMPTS_FOLDER = Path("scored_prompts")
"""Below `data/`."""
SCORED_PROMPTS_SCHEMA = pa.schema([("prompt", pa.uint64()), ("grams", pa.list_(pa.uint32()))])
FILE_NGRAMS = 2_000_000
"""Of a file, four bytes each: it stays small enough for git."""


@dataclass(frozen=True)
class ScoredPrompts:
    """Prompts that were tested: the hash of each (see `normalize.text_hash`), and its grams."""

    prompts: npt.NDArray[np.uint64]
    grams: NGramSets

    def __len__(self) -> int:
        return len(self.prompts)


def read_scored_prompts(folder: Path) -> ScoredPrompts:
    """Read all that a folder holds; a prompt may stand there twice."""
    tables = [pq.read_table(path, schema=SCORED_PROMPTS_SCHEMA) for path in sorted(folder.glob("*.parquet"))]
    prompts = [np.zeros(0, np.uint64), *(table["prompt"].to_numpy() for table in tables)]
    return ScoredPrompts(
        np.concatenate(prompts), concat_ngrams([grams for table in tables for grams in ngrams_in_table(table)])
    )


NO_SCORED_PROMPTS = ScoredPrompts(np.zeros(0, np.uint64), concat_ngrams([]))
"""Where nothing was tested, or nobody asks."""


def ngrams_in_table(table: pa.Table) -> Iterable[NGramSets]:
    """Give the grams of a table, chunk by chunk."""
    for lists in table["grams"].chunks:
        starts = lists.offsets.to_numpy().astype(np.int64)
        yield NGramSets(lists.values.to_numpy()[starts[0] : starts[-1]], starts - starts[0])


def add_scored_prompts(folder: Path, prompts: Iterable[str]) -> int:
    """Keep prompts that were tested, those that are not kept yet; say how many came in.

    Args:
        folder: Where the files are.
        prompts: Texts, as `columns.prompt_texts` gives them.
    """
    known = set(read_scored_prompts(folder).prompts.tolist())
    fresh = {text_hash(text): text for text in map(normalize, prompts)}
    unknown = sorted((number, text) for number, text in fresh.items() if number not in known)
    lengths = np.array([len(text) for _, text in unknown], np.int64)  # a text has at most so many grams
    for some in slices_by_size(lengths, FILE_NGRAMS):
        write_scored_file(folder, unknown[some])
    return len(unknown)


def record_scored_prompts(data: Path) -> int:
    """Add the prompts of the rows that the last evaluation answered; say how many came in.

    Args:
        data: The folder of all stages; before the first evaluation there are no answers in it.
    """
    answers = data / "evaluate" / "predictions.parquet"
    return add_scored_prompts(data / SCORED_PROMPTS_FOLDER, read_answered_prompts(answers)) if answers.exists() else 0


def write_scored_file(folder: Path, prompts: list[tuple[int, str]]) -> None:
    """Write a file whose name tells its content, whole or not at all."""
    grams = hash_ngrams([text for _, text in prompts])
    numbers = np.array([number for number, _ in prompts], np.uint64)
    lists = pa.ListArray.from_arrays(pa.array(grams.starts, pa.int32()), pa.array(grams.hashes))
    table = pa.Table.from_arrays([pa.array(numbers), lists], schema=SCORED_PROMPTS_SCHEMA)
    with atomic_write(folder / f"{hashlib.sha256(numbers.tobytes()).hexdigest()[:16]}.parquet") as part:
        pq.write_table(table, part, compression="zstd")
