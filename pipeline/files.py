"""JSON and Parquet files, written whole or not at all."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


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
