"""JSON and Parquet files, and how a file or folder is written whole or not at all."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write into that becomes *folder* only when everything in it was written.

    What a failed writing left stays beside it, to be looked at, until the next. Nothing is forced to the disk
    (`fsync`): who must know that a folder is whole after a power cut keeps the digests of its files, as DVC does.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a file to write that becomes *path* only when it was written, and is on the disk (`fsync`) after that.

    A failed writing leaves what was there before, and nothing else.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        fsync_path(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    fsync_path(path.parent)


def fsync_path(path: Path) -> None:
    """Have the kernel put a file or folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_table(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows as a Parquet table."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, compression="zstd")


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and diffs: sorted, indented, one newline at the end."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def count_values(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, the most frequent first and equals by name."""
    return rank_counts(Counter(values))


def rank_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Put counts in order, the most frequent first and equals by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
