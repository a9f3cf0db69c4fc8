"""Hashes of the prompts in a file of pairs."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

PROMPT_BATCH_ROWS = 10_000
"""Prompts that are read at once."""


def read_answered_prompts(answers: Path) -> Iterator[str]:
    """Give the prompts that were answered."""
    for batch in pq.ParquetFile(answers).iter_batches(PROMPT_BATCH_ROWS, columns=["prompt"]):
        yield from batch["prompt"].to_pylist()
