"""Encoded pairs on disk: Arrow files of token ids, read without copying."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.prompt import Encoded

TOKENS = pa.schema([("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("completion_start", pa.int32())])


def write_tokens(path: Path, rows: Sequence[tuple[str, Encoded]]) -> None:
    """Write (pair id, encoded pair) rows; the same rows give the same bytes."""
    columns = [
        pa.array([pair_id for pair_id, _ in rows], pa.string()),
        pa.array([encoded.input_ids for _, encoded in rows], TOKENS.field("input_ids").type),
        pa.array([encoded.completion_start for _, encoded in rows], pa.int32()),
    ]
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, TOKENS) as writer:
        writer.write_table(pa.table(columns, schema=TOKENS))


def read_tokens(path: Path) -> list[tuple[str, Encoded]]:
    """Read (pair id, encoded pair) rows back, in the order written."""
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
        return [(row["id"], Encoded(row["input_ids"], row["completion_start"])) for row in table.to_pylist()]
