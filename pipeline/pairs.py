"""What passes between the stages: pairs, the rows set aside, and how both are kept on disk."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from json.encoder import encode_basestring
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

SPLITS = ("train", "validation", "test")

GROUP_ROWS = 10_000
GROUP_BYTES = 64 << 20
"""A row group is written when it has so many rows, or when their original bytes are so many."""
READ_ROWS = 1000

MESSAGES_TYPE = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("learn", pa.bool_())]))
PAIRS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("messages", MESSAGES_TYPE),
        ("completion", pa.string()),
        ("source", pa.string()),
        ("row", pa.int64()),
        ("split", pa.string()),
        ("raw", pa.binary()),
    ]
)
QUARANTINE_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("raw", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Message:
    """One turn of the prompt.

    Args:
        role: Who speaks.
        content: What is said.
        learn: Whether it may be trained on where the answers within prompts are; false for one of weight 0.
    """

    role: str
    content: str
    learn: bool = True


@dataclass(frozen=True)
class Pair:
    """A prompt and the completion that is wanted for it.

    `source` and `row` (counted from 1) say where it came from, `split` where its source wants it (or None), and
    `raw` holds the bytes it was read from, so that a row set aside later is still the row that the user wrote.
    """

    messages: tuple[Message, ...]
    completion: str
    source: str
    row: int
    split: str | None
    raw: bytes

    @property
    def id(self) -> str:
        """Content hash: the same pair has the same id whatever file, format or row it came from."""
        # What json.dumps makes of [messages, completion], in a quarter of its time.
        turns = ", ".join(
            [
                f"[{encode_basestring(turn.role)}, {encode_basestring(turn.content)}{'' if turn.learn else ', false'}]"
                for turn in self.messages
            ]
        )
        content = f"[[{turns}], {encode_basestring(self.completion)}]"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def prompt(self) -> str:
        """The prompt in one text, for checks and for people."""
        return "\n".join(message.content for message in self.messages)


@dataclass(frozen=True)
class Quarantined:
    """A row set aside: where it stood, why, and its bytes."""

    source: str
    row: int
    reason: str
    detail: str
    raw: bytes


def quarantine_pair(pair: Pair, reason: str, detail: str) -> Quarantined:
    """Set a pair aside."""
    return Quarantined(pair.source, pair.row, reason, detail, pair.raw)


WrittenRow = TypeVar("WrittenRow", Pair, Quarantined)


class RowWriter(Generic[WrittenRow]):
    """Writes rows as Parquet, a row group at a time, so that never more than one is held.

    Used in a `with`, at whose end the last rows are written. The same rows give the same bytes.

    Args:
        path: The file.
        schema: Its columns.
        columns: Makes the columns of some rows, in the schema's order.
    """

    def __init__(self, path: Path, schema: pa.Schema, columns: Callable[[Sequence[WrittenRow]], list[Any]]) -> None:
        self._file = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._columns: Callable[[Sequence[WrittenRow]], list[Any]] = columns
        self._waiting: list[WrittenRow] = []
        self._bytes = 0
        self._groups = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and (self._waiting or not self._groups):
            self._write()
        self._file.close()

    def add(self, row: WrittenRow) -> None:
        """Take a row, and write those that wait once they are enough."""
        self._waiting.append(row)
        self._bytes += len(row.raw)
        if len(self._waiting) == GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        """Write the rows that wait as one row group."""
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(self._columns(self._waiting), self._schema, strict=True)
        ]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._waiting, self._bytes, self._groups = [], 0, self._groups + 1


def pair_columns(pairs: Sequence[Pair]) -> list[Any]:
    """Make the columns of PAIRS."""
    turns = [message for pair in pairs for message in pair.messages]
    ends = accumulate((len(pair.messages) for pair in pairs), initial=0)
    fields = list(MESSAGES_TYPE.value_type)
    columns = [pa.array([getattr(turn, field.name) for turn in turns], field.type) for field in fields]
    messages = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.StructArray.from_arrays(columns, fields=fields))
    return [
        [pair.id for pair in pairs],
        messages,
        [pair.completion for pair in pairs],
        [pair.source for pair in pairs],
        [pair.row for pair in pairs],
        [pair.split for pair in pairs],
        [pair.raw for pair in pairs],
    ]


def quarantine_columns(rows: Sequence[Quarantined]) -> list[Any]:
    """Make the columns of QUARANTINE."""
    return [[getattr(row, name) for row in rows] for name in QUARANTINE_SCHEMA.names]


def pair_writer(path: Path) -> RowWriter[Pair]:
    """Open a file of pairs for writing."""
    return RowWriter(path, PAIRS_SCHEMA, pair_columns)


def quarantine_writer(path: Path) -> RowWriter[Quarantined]:
    """Open a file of rows set aside for writing."""
    return RowWriter(path, QUARANTINE_SCHEMA, quarantine_columns)


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Write pairs as Parquet; the same pairs give the same bytes."""
    with pair_writer(path) as out:
        for pair in pairs:
            out.add(pair)


def read_pairs(path: Path) -> list[Pair]:
    """Read pairs back, in the order written."""
    return list(iterate_pairs(path))


def iterate_pairs(path: Path) -> Iterator[Pair]:
    """Read pairs back one after the other, so that never more than some are held."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(READ_ROWS):
            yield from pairs_from_columns(batch)


def pairs_from_columns(batch: pa.RecordBatch) -> Iterator[Pair]:
    """Make pairs of the columns of PAIRS."""
    turns = batch["messages"]
    messages = [*map(Message, *(turns.values.field(field.name).to_pylist() for field in MESSAGES_TYPE.value_type))]
    ends = turns.offsets.to_pylist()
    others = [batch[name].to_pylist() for name in ("completion", "source", "row", "split", "raw")]
    for start, end, *other in zip(ends, ends[1:], *others, strict=False):  # one end more than there are rows
        yield Pair(tuple(messages[start:end]), *other)


def write_quarantine(path: Path, rows: Iterable[Quarantined]) -> None:
    """Write rows set aside as Parquet."""
    with quarantine_writer(path) as out:
        for row in rows:
            out.add(row)


def read_quarantine(path: Path) -> list[Quarantined]:
    """Read rows set aside."""
    return [Quarantined(**row) for row in pq.read_table(path).to_pylist()]
