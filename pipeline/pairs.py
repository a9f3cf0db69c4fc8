"""What passes between the stages: pairs, the rows set aside, and how both are kept on disk."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SPLITS = ("train", "validation", "test")

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PAIRS = pa.schema(
    [
        ("id", pa.string()),
        ("messages", MESSAGES),
        ("completion", pa.string()),
        ("source", pa.string()),
        ("row", pa.int64()),
        ("split", pa.string()),
        ("raw", pa.binary()),
    ]
)
QUARANTINE = pa.schema(
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
    """One turn of the prompt."""

    role: str
    content: str


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
        content = [[m.role, m.content] for m in self.messages], self.completion
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]

    @property
    def prompt(self) -> str:
        """The prompt in one text, for checks and for people."""
        return "\n".join(message.content for message in self.messages)

    @property
    def group(self) -> str:
        """What must stay on one side of the split: the prompt, but for case and blanks."""
        return hashlib.sha256(" ".join(self.prompt.casefold().split()).encode()).hexdigest()


@dataclass(frozen=True)
class Quarantined:
    """A row set aside: where it stood, why, and its bytes."""

    source: str
    row: int
    reason: str
    detail: str
    raw: bytes


def aside(pair: Pair, reason: str, detail: str) -> Quarantined:
    """Set a pair aside."""
    return Quarantined(pair.source, pair.row, reason, detail, pair.raw)


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Write pairs as Parquet; the same pairs give the same bytes."""
    rows = [
        {
            "id": pair.id,
            "messages": [asdict(message) for message in pair.messages],
            "completion": pair.completion,
            "source": pair.source,
            "row": pair.row,
            "split": pair.split,
            "raw": pair.raw,
        }
        for pair in pairs
    ]
    write_table(path, rows, PAIRS)


def read_pairs(path: Path) -> list[Pair]:
    """Read pairs back, in the order written."""
    return [
        Pair(
            messages=tuple(Message(**message) for message in row["messages"]),
            completion=row["completion"],
            source=row["source"],
            row=row["row"],
            split=row["split"],
            raw=row["raw"],
        )
        for row in pq.read_table(path).to_pylist()
    ]


def write_quarantine(path: Path, rows: Iterable[Quarantined]) -> None:
    """Write rows set aside as Parquet."""
    write_table(path, [asdict(row) for row in rows], QUARANTINE)


def read_quarantine(path: Path) -> list[Quarantined]:
    """Read rows set aside."""
    return [Quarantined(**row) for row in pq.read_table(path).to_pylist()]


def write_table(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows as a Parquet table."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, compression="zstd")


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and diffs: sorted, indented, one newline at the end."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def counts(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, the commonest first and equals by name."""
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
