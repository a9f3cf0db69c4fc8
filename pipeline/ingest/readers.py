"""Files of rows: JSON lines, JSON, tables and Parquet, read row by row without losing one or holding them all."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.ingest.file_formats import FileFormat
from pipeline.ingest.json_array import NotAJsonArray, iterate_array
from pipeline.ingest.text_stream import MAX_LINE_BYTES, decode_error, read_characters, read_utf8, split_lines
from pipeline.params import Source

PARQUET_BATCH_ROWS = 1000


class SourceRecord(NamedTuple):
    """A row as it stands in its file: its number from 1, its bytes in UTF-8, and its value or why it has none."""

    row: int
    raw: bytes
    value: Any = None
    fault: tuple[str, str] | None = None


def read_records(path: Path, source: Source, *, file_format: FileFormat) -> Iterator[SourceRecord]:
    """Read the rows of a file as what it was found to be.

    Raises:
        UserError: If the file as a whole cannot be read: damaged, in another encoding, without a named column.
    """
    return READERS[file_format.format](path, source, file_format)


def read_jsonl(path: Path, source: Source, _file_format: FileFormat) -> Iterator[SourceRecord]:
    """Read one JSON value a line; a bad line is a record with its fault, an empty one no record."""
    for number, line in enumerate(split_lines(path, read_utf8(path, source.encoding)), start=1):
        raw = line.rstrip(b"\r\n")
        if raw.strip():
            yield parse_json_line(number, raw)


def parse_json_line(number: int, raw: bytes) -> SourceRecord:
    """Parse one line of JSON."""
    try:
        return SourceRecord(number, raw, json.loads(raw.decode()))
    except UnicodeDecodeError as error:
        detail = f"byte {error.start} of the line; if the whole file has another encoding, name it in ingest.sources"
        return SourceRecord(number, raw, fault=("not_utf8", detail))
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of thousands of digits
        return SourceRecord(number, raw, fault=("not_json", str(error)))


def read_json_array(path: Path, source: Source, _file_format: FileFormat) -> Iterator[SourceRecord]:
    """Read a file that is one JSON list of rows, a row at a time."""
    try:
        for number, (row, shown) in enumerate(iterate_array(read_characters(path, source.encoding)), start=1):
            yield SourceRecord(number, shown.encode(), row)
    except NotAJsonArray as error:
        raise UserError(
            str(path),
            f"line {error.line} is not JSON as a list of rows: {error.what}",
            do="mend it; for one value a line, call it .jsonl",
        ) from error


def read_csv(path: Path, source: Source, file_format: FileFormat) -> Iterator[SourceRecord]:
    """Read a table with a header; the raw bytes of a row are those that stand in the file."""
    seen: list[str] = []
    rows = csv_rows(path, buffered_lines(decode_lines(path, source), seen), str(file_format.delimiter))
    header = next(rows, [])
    seen.clear()
    require_columns(path, header, source)
    for number, fields in enumerate(rows, start=2):
        raw = "".join(seen).rstrip("\r\n").encode()
        seen.clear()
        if not fields:
            continue
        if len(fields) != len(header):
            yield SourceRecord(number, raw, fault=("ragged", f"{len(fields)} fields under {len(header)} columns"))
        else:
            yield SourceRecord(number, raw, dict(zip(header, fields, strict=True)))


def decode_lines(path: Path, source: Source) -> Iterator[str]:
    """Read a text line by line, ends of lines kept.

    Raises:
        UserError: If it is not in its encoding.
    """
    for number, line in enumerate(split_lines(path, read_utf8(path, source.encoding)), start=1):
        try:
            shown = line.decode() + "\n"
        except UnicodeDecodeError as error:
            raise decode_error(path, number, error, "utf-8") from error
        if "\r" in shown[:-2]:  # old ends of lines, or one inside quotes
            yield from io.StringIO(shown, newline="")
        else:
            yield shown


def buffered_lines(lines: Iterator[str], seen: list[str]) -> Iterator[str]:
    """Pass lines on, and keep them until their row is made."""
    for line in lines:
        seen.append(line)
        yield line


def csv_rows(path: Path, lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    """Split a table into rows of fields, strictly: an open quote would swallow every row after it."""
    csv.field_size_limit(MAX_LINE_BYTES)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                str(path), f"line {line} is not CSV: {error}", do="close its quotes, and double those inside a text"
            ) from error


def read_parquet(path: Path, source: Source, _file_format: FileFormat) -> Iterator[SourceRecord]:
    """Read a Parquet file batch by batch."""
    try:
        file = pq.ParquetFile(path)
        require_columns(path, file.schema_arrow.names, source)
        number = 0
        for batch in file.iter_batches(PARQUET_BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield SourceRecord(number, json.dumps(row, ensure_ascii=False, default=str).encode(), row)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # a damaged page, text or date
        raise UserError(
            str(path), f"is not Parquet: {error}", do="check the file, or name its format in ingest.sources"
        ) from error


def require_columns(path: Path, columns: list[str], source: Source) -> None:
    """Refuse a table that lacks a column named in params, or has two of one name: one of them would be lost."""
    for name in columns:
        if columns.count(name) > 1:
            raise UserError(str(path), f"has two columns {name!r}", got=", ".join(columns), do="rename one")
    for column in (source.prompt_column, source.completion_column):
        if column is not None and column not in columns:
            raise UserError(
                str(path),
                f"has no column {column!r}",
                got=", ".join(columns),
                do="name its columns in ingest.sources",
            )


READERS: dict[str, Callable[[Path, Source, FileFormat], Iterator[SourceRecord]]] = {
    "jsonl": read_jsonl,
    "json": read_json_array,
    "csv": read_csv,
    "parquet": read_parquet,
}
