"""Files of rows: JSON lines, JSON, CSV and Parquet, read row by row without losing one."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.params import Source
from pipeline.problem import Problem

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
SNIFFED = 65536


@dataclass(frozen=True)
class Record:
    """A row as it stands in its file: its number from 1, its bytes, and its value or why it has none."""

    row: int
    raw: bytes
    value: Any = None
    fault: tuple[str, str] | None = None


def read_records(path: Path, source: Source) -> Iterator[Record]:
    """Read the rows of a file in the format that params or its ending name.

    Raises:
        Problem: If the file as a whole cannot be read: empty, binary, of unknown format, without a named column.
    """
    if path.stat().st_size == 0:
        raise Problem(str(path), "is empty", do="put pairs into it, or take it out of ingest.sources")
    return READERS[format_of(path, source)](path, source)


def format_of(path: Path, source: Source) -> str:
    """Find the format of a file, and check that what should be text is."""
    kind = ENDINGS.get(path.suffix.lower()) if source.format == "auto" else source.format
    if kind is None:
        raise Problem(
            str(path),
            f"unknown ending {path.suffix!r}",
            expected=", ".join(ENDINGS),
            do="name its format in ingest.sources",
        )
    with path.open("rb") as file:
        start = file.read(SNIFFED)
    if kind != "parquet" and b"\0" in start:
        raise Problem(
            str(path),
            "is binary",
            expected=f"{kind} in UTF-8",
            do="export it as text, or name its format in ingest.sources",
        )
    return kind


def jsonl(path: Path, _source: Source) -> Iterator[Record]:
    """Read one JSON value a line; a bad line is a record with its fault, an empty one no record."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            raw = line.rstrip(b"\r\n")
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if raw.strip():
                yield parsed(number, raw)


def parsed(number: int, raw: bytes) -> Record:
    """Parse one line of JSON."""
    try:
        return Record(number, raw, json.loads(raw.decode("utf-8")))
    except UnicodeDecodeError as error:
        return Record(number, raw, fault=("not_utf8", f"byte {error.start} of the line"))
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of thousands of digits
        return Record(number, raw, fault=("not_json", str(error)))


def whole_json(path: Path, _source: Source) -> Iterator[Record]:
    """Read a file that is one JSON list of rows."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Problem(str(path), f"is not JSON: {error}", do="mend it; for one value a line, call it .jsonl") from error
    if not isinstance(rows, list):
        raise Problem(str(path), "is not a list of rows", got=type(rows).__name__, do="put the rows into one JSON list")
    for number, row in enumerate(rows, start=1):
        # Half a character (a lone surrogate) becomes its JSON escape again.
        yield Record(number, json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace"), row)


def table_csv(path: Path, source: Source) -> Iterator[Record]:
    """Read a CSV file with a header; the raw bytes of a row are its fields as CSV."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise Problem(str(path), f"line {line} is not UTF-8", do="save the file as UTF-8") from error
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    rows = csv_rows(path, text, delimiter)
    header = next(rows, [])
    need_columns(path, header, source)
    for number, fields in enumerate(rows, start=2):
        if not fields:
            continue
        raw = csv_line(fields)
        if len(fields) != len(header):
            yield Record(number, raw, fault=("ragged", f"{len(fields)} fields under {len(header)} columns"))
        else:
            yield Record(number, raw, dict(zip(header, fields, strict=True)))


def csv_rows(path: Path, text: str, delimiter: str) -> Iterator[list[str]]:
    """Split CSV into rows of fields, strictly: an open quote would swallow every row after it."""
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
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


def csv_line(fields: list[str]) -> bytes:
    """Write fields back as one CSV record."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(fields)
    return out.getvalue().encode()


def table_parquet(path: Path, source: Source) -> Iterator[Record]:
    """Read a Parquet file batch by batch."""
    try:
        file = pq.ParquetFile(path)
        need_columns(path, file.schema_arrow.names, source)
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield Record(number, json.dumps(row, ensure_ascii=False, default=str).encode(), row)
    except (pa.ArrowException, OSError) as error:  # OSError: a damaged footer or page
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


READERS: dict[str, Callable[[Path, Source], Iterator[Record]]] = {
    "jsonl": jsonl,
    "json": whole_json,
    "csv": table_csv,
    "parquet": table_parquet,
}
