"""Encoded pairs on disk: Arrow files of token ids, written and read some rows at a time."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.chat_template import Encoded, Span

TOKEN_IDS = pa.list_(pa.int32())
TOKENS_SCHEMA = pa.schema([("id", pa.string()), ("input_ids", TOKEN_IDS), ("completion_start", pa.int32())])
SPANS_FIELD = pa.field("earlier", TOKEN_IDS)
"""Begin and end of each supervised answer within the prompt, one after the other; a column of files that hold some."""
TOKEN_BATCH_ROWS = 1000
"""Rows of a record batch: whoever writes the same rows writes the same batches, however the rows came."""

TokenRow = TypeVar("TokenRow")


def in_batches(rows: Iterable[TokenRow]) -> Iterator[list[TokenRow]]:
    """Give rows some at a time, the last time as many as are left."""
    waiting = iter(rows)
    while some := list(islice(waiting, TOKEN_BATCH_ROWS)):
        yield some


def write_tokens(path: Path, rows: Iterable[tuple[str, Encoded]], *, every_turn: bool = False) -> None:
    """Write (pair id, encoded pair) rows as they come; the same rows give the same bytes.

    Args:
        path: Where to.
        rows: What to write.
        every_turn: Keep the supervised answers within the prompts too.
    """
    schema = TOKENS_SCHEMA.append(SPANS_FIELD) if every_turn else TOKENS_SCHEMA
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for some in in_batches(rows):
            writer.write_batch(record_batch(some, schema))


def record_batch(rows: Sequence[tuple[str, Encoded]], schema: pa.Schema) -> pa.RecordBatch:
    """Lay out rows in columns."""
    columns = {
        "id": pa.array([pair_id for pair_id, _ in rows], pa.string()),
        "input_ids": list_array([encoded.input_ids for _, encoded in rows]),
        "completion_start": pa.array([encoded.completion_start for _, encoded in rows], pa.int32()),
        "earlier": list_array([list(chain.from_iterable(encoded.prompt_spans)) for _, encoded in rows]),
    }
    return pa.record_batch([columns[field.name] for field in schema], schema=schema)


def list_array(rows: Sequence[Sequence[int]]) -> pa.ListArray:
    """Lay out lists of numbers one after the other; a third of the time that Arrow takes to find out what they are."""
    offsets = np.fromiter(accumulate(map(len, rows), initial=0), np.int32, len(rows) + 1)
    values = np.fromiter(chain.from_iterable(rows), np.int32, offsets[-1])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def read_tokens(path: Path) -> list[tuple[str, Encoded]]:
    """Read (pair id, encoded pair) rows back, in the order written."""
    return [row for batch in read_token_batches(path) for row in encoded_rows(batch)]


def read_ids(path: Path) -> list[str]:
    """Read only whose rows they are, in the order written."""
    return [pair_id for batch in read_token_batches(path) for pair_id in batch["id"].to_pylist()]


def find_tokens(path: Path, ids: Collection[str]) -> dict[str, Encoded]:
    """Read the rows of a few pairs, by their ids."""
    wanted = pa.array(list(ids), pa.string())
    return {
        pair_id: encoded
        for batch in read_token_batches(path)
        for pair_id, encoded in encoded_rows(batch.filter(pc.is_in(batch["id"], wanted)))
    }


def read_token_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Read the batches of a file, one at a time."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        for number in range(file.num_record_batches):
            yield file.get_batch(number)


def encoded_rows(batch: pa.RecordBatch) -> Iterator[tuple[str, Encoded]]:
    """Make rows of columns."""
    for row in batch.to_pylist():
        yield row["id"], Encoded(row["input_ids"], row["completion_start"], decode_spans(row.get("earlier", [])))


def decode_spans(bounds: Sequence[int]) -> tuple[Span, ...]:
    """Give begin and end of each span, which are kept one after the other."""
    return tuple(zip(bounds[::2], bounds[1::2], strict=True))
