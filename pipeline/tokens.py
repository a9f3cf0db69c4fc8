"""Encoded pairs on disk: Arrow files of token ids, read without copying."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa

from pipeline.prompt import Encoded, Span

IDS = pa.list_(pa.int32())
TOKENS = pa.schema([("id", pa.string()), ("input_ids", IDS), ("completion_start", pa.int32())])
SPANS = pa.field("earlier", IDS)
"""Begin and end of each supervised answer within the prompt, one after the other; a column of files that hold some."""


def write_tokens(path: Path, rows: Sequence[tuple[str, Encoded]], *, every_turn: bool = False) -> None:
    """Write (pair id, encoded pair) rows; the same rows give the same bytes.

    Args:
        path: Where to.
        rows: What to write.
        every_turn: Keep the supervised answers within the prompts too.
    """
    schema = TOKENS.append(SPANS) if every_turn else TOKENS
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(batch_of(rows, schema))


def batch_of(rows: Sequence[tuple[str, Encoded]], schema: pa.Schema) -> pa.RecordBatch:
    """Lay out rows in columns."""
    columns = {
        "id": [pair_id for pair_id, _ in rows],
        "input_ids": [encoded.input_ids for _, encoded in rows],
        "completion_start": [encoded.completion_start for _, encoded in rows],
        "earlier": [list(chain.from_iterable(encoded.earlier)) for _, encoded in rows],
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def read_tokens(path: Path) -> list[tuple[str, Encoded]]:
    """Read (pair id, encoded pair) rows back, in the order written."""
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
        return [
            (row["id"], Encoded(row["input_ids"], row["completion_start"], spans_of(row.get("earlier", []))))
            for row in table.to_pylist()
        ]


def spans_of(places: Sequence[int]) -> tuple[Span, ...]:
    """Give begin and end of each span, which are kept one after the other."""
    return tuple(zip(places[::2], places[1::2], strict=True))
