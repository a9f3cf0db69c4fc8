"""Files of rows: JSON lines, JSON, tables and Parquet, read row by row without losing one or holding them all."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import Problem
from pipeline.ingest.file_formats import Found
from pipeline.ingest.json_array import NotAList, elements
from pipeline.ingest.text_stream import LONGEST, characters, lines, not_in, text
from pipeline.params import Source

PARQUET_ROWS = 1000


class Record(NamedTuple):
    """A row as it stands in its file: its number from 1, its bytes in UTF-8, and its value or why it has none."""

    row: int
    raw: bytes
    value: Any = None
    fault: tuple[str, str] | None = None


def read_records(path: Path, source: Source, *, found: Found) -> Iterator[Record]:
    """Read the rows of a file as what it was found to be.

    Raises:
        Problem: If the file as a whole cannot be read: damaged, in another encoding, without a named column.
    """
    return READERS[found.format](path, source, found)


def jsonl(path: Path, source: Source, _found: Found) -> Iterator[Record]:
    """Read one JSON value a line; a bad line is a record with its fault, an empty one no record."""
    for number, line in enumerate(lines(path, text(path, source.encoding)), start=1):
        raw = line.rstrip(b"\r\n")
        if raw.strip():
            yield parsed(number, raw)


def parsed(number: int, raw: bytes) -> Record:
    """Parse one line of JSON."""
    try:
        return Record(number, raw, json.loads(raw.decode()))
    except UnicodeDecodeError as error:
        told = f"byte {error.start} of the line; if the whole file has another encoding, name it in ingest.sources"
        return Record(number, raw, fault=("not_utf8", told))
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of thousands of digits
        return Record(number, raw, fault=("not_json", str(error)))


def whole_json(path: Path, source: Source, _found: Found) -> Iterator[Record]:
    """Read a file that is one JSON list of rows, a row at a time."""
    try:
        for number, (row, shown) in enumerate(elements(characters(path, source.encoding)), start=1):
            yield Record(number, shown.encode(), row)
    except NotAList as error:
        raise Problem(
            str(path),
            f"line {error.line} is not JSON as a list of rows: {error.what}",
            do="mend it; for one value a line, call it .jsonl",
        ) from error


def table(path: Path, source: Source, found: Found) -> Iterator[Record]:
    """Read a table with a header; the raw bytes of a row are those that stand in the file."""
    seen: list[str] = []
    rows = table_rows(path, kept(decoded_lines(path, source), seen), str(found.delimiter))
    header = next(rows, [])
    seen.clear()
    need_columns(path, header, source)
    for number, fields in enumerate(rows, start=2):
        raw = "".join(seen).rstrip("\r\n").encode()
        seen.clear()
        if not fields:
            continue
        if len(fields) != len(header):
            yield Record(number, raw, fault=("ragged", f"{len(fields)} fields under {len(header)} columns"))
        else:
            yield Record(number, raw, dict(zip(header, fields, strict=True)))


def decoded_lines(path: Path, source: Source) -> Iterator[str]:
    """Read a text line by line, ends of lines kept.

    Raises:
        Problem: If it is not in its encoding.
    """
    for number, line in enumerate(lines(path, text(path, source.encoding)), start=1):
        try:
            shown = line.decode() + "\n"
        except UnicodeDecodeError as error:
            raise not_in(path, number, error, "utf-8") from error
        if "\r" in shown[:-2]:  # old ends of lines, or one inside quotes
            yield from io.StringIO(shown, newline="")
        else:
            yield shown


def kept(found: Iterator[str], seen: list[str]) -> Iterator[str]:
    """Pass lines on, and keep them until their row is made."""
    for line in found:
        seen.append(line)
        yield line


def table_rows(path: Path, found: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    """Split a table into rows of fields, strictly: an open quote would swallow every row after it."""
    csv.field_size_limit(LONGEST)
    rows = csv.reader(found, delimiter=delimiter, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise Problem(
                str(path), f"line {line} is not CSV: {error}", do="close its quotes, and double those inside a text"
            ) from error


def table_parquet(path: Path, source: Source, _found: Found) -> Iterator[Record]:
    """Read a Parquet file batch by batch."""
    try:
        file = pq.ParquetFile(path)
        need_columns(path, file.schema_arrow.names, source)
        number = 0
        for batch in file.iter_batches(PARQUET_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield Record(number, json.dumps(row, ensure_ascii=False, default=str).encode(), row)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # a damaged page, text or date
        raise Problem(
            str(path), f"is not Parquet: {error}", do="check the file, or name its format in ingest.sources"
        ) from error


def need_columns(path: Path, columns: list[str], source: Source) -> None:
    """Refuse a table that lacks a column named in params, or has two of one name: one of them would be lost."""
    for name in columns:
        if columns.count(name) > 1:
            raise Problem(str(path), f"has two columns {name!r}", got=", ".join(columns), do="rename one")
    for column in (source.prompt_column, source.completion_column):
        if column is not None and column not in columns:
            raise Problem(
                str(path),
                f"has no column {column!r}",
                got=", ".join(columns),
                do="name its columns in ingest.sources",
            )


READERS: dict[str, Callable[[Path, Source, Found], Iterator[Record]]] = {
    "jsonl": jsonl,
    "json": whole_json,
    "csv": table,
    "parquet": table_parquet,
}
