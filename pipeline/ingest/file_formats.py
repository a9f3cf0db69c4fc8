"""Detects the format of a file from its suffix and its content, and says why."""

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.ingest.text_stream import (
    COMPRESSION_BY_SUFFIX,
    data_suffix,
    detect_encoding,
    read_decompressed,
    read_utf8,
)
from pipeline.params import Source

FORMAT_BY_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
FORMAT_NAMES = {"jsonl": "JSON lines", "json": "a JSON list", "csv": "a table", "parquet": "Parquet"}
DELIMITERS = (",", ";", "\t", "|")
SNIFF_BYTES = 65536
SNIFF_ROWS = 100


@dataclass(frozen=True)
class FileFormat:
    """What a file is: its format, the delimiter if it is a table, its encoding, and why."""

    format: str
    why: str
    encoding: str = "utf-8"
    delimiter: str | None = None

    def __str__(self) -> str:
        table = f" with {self.delimiter!r} between columns" if self.delimiter else ""
        encoding = "" if self.encoding == "utf-8" else f" in {self.encoding}"
        return f"{FORMAT_NAMES[self.format]}{encoding}{table}, {self.why}"


def detect_format(path: Path, source: Source) -> FileFormat:
    """Find what a file is: as params say, else by how it begins, else by its suffix.

    Raises:
        UserError: If it is empty, binary, or may be several things: the setting that decides is named.
    """
    start = next(read_decompressed(path), b"")[:SNIFF_BYTES]
    if not start:
        raise UserError(str(path), "is empty", do="put pairs into it, or take it out of ingest.sources")
    kind, why = (source.format, "as ingest.sources says") if source.format != "auto" else ("", "")
    if kind == "parquet" or (not kind and start.startswith(b"PAR1")):
        return require_plain_parquet(path, why or "since it begins with PAR1")
    encoding = detect_encoding(path, start, source.encoding)
    head = next(read_utf8(path, source.encoding), b"")[:SNIFF_BYTES]
    by_ending = FORMAT_BY_SUFFIX.get(data_suffix(path), "")
    if by_ending == "parquet" and not kind and source.delimiter is None:
        return require_plain_parquet(path, "since its suffix is .parquet")
    if b"\0" in head:
        raise UserError(
            str(path),
            "is binary",
            expected=f"{kind or by_ending or 'text'} in UTF-8",
            do="export it as text, or name its format or its encoding in ingest.sources",
        )
    if not kind:
        kind, why = format_by_content(path, head, by_ending, source)
    delimiter = detect_delimiter(path, head, source) if kind == "csv" else None
    if not kind:
        raise unknown_format(path)
    return FileFormat(kind, why, encoding, delimiter)


def require_plain_parquet(path: Path, why: str) -> FileFormat:
    """Check that Parquet is not inside an archive, where it cannot be read in parts."""
    if path.suffix.lower() in COMPRESSION_BY_SUFFIX:
        raise UserError(str(path), "is Parquet inside an archive", do="unpack it: Parquet is compressed in itself")
    return FileFormat("parquet", why)


def unknown_format(path: Path) -> UserError:
    """Say that nothing tells what a file is."""
    return UserError(
        str(path),
        f"may be anything: its suffix {data_suffix(path)!r} is unknown, and it begins neither as JSON nor as a table",
        expected=", ".join(FORMAT_BY_SUFFIX),
        do="name its format in ingest.sources",
    )


def format_by_content(path: Path, head: bytes, by_ending: str, source: Source) -> tuple[str, str]:
    """Find the format of a text, or none, and why; how it begins counts more than its suffix where it is sure."""
    ending = f"since its suffix is {data_suffix(path)}"
    if source.delimiter is not None:
        return "csv", "since ingest.sources names its delimiter"
    kind, why = json_kind(head, whole=len(head) < SNIFF_BYTES)
    if kind and (kind != by_ending):
        return kind, why
    if by_ending:
        return by_ending, ending
    table = possible_delimiters(head, source)
    return ("csv", f"since its first line has {table[1]} columns") if table[0] else ("", "")


def json_kind(head: bytes, *, whole: bool) -> tuple[str, str]:
    """Say which JSON a text certainly is, and why; one object alone may be a row or a whole file, and is neither."""
    first, _, rest = head.lstrip().partition(b"\n")
    value = parse_or_none(first)
    if isinstance(value, dict) and (rest.strip() or not whole):
        return "jsonl", "since its first line is a JSON object"
    if isinstance(value, list) and whole and not rest.strip() and all(isinstance(row, dict) for row in value):
        return "json", "since it is one JSON list"
    if value is None and re.match(rb"\[\s*\{", head.lstrip()) and (rest or not whole):
        return "json", "since it begins as a JSON list of objects"
    return "", ""


def parse_or_none(line: bytes) -> Any:
    """Parse JSON; None if it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def possible_delimiters(head: bytes, source: Source) -> tuple[list[str], int]:
    """List the delimiters that a table may have by its first rows, and how many columns the first of them makes.

    Each parts the first row; among several only those count that part every row alike, and bring the named columns.
    """
    widths: dict[str, list[int]] = {}
    rows: dict[str, list[str]] = {}
    shown = head.decode(errors="replace")
    whole = len(head) < SNIFF_BYTES
    for delimiter in DELIMITERS:
        try:
            lines = [row for row in csv.reader(io.StringIO(shown, newline=""), delimiter=delimiter) if row]
        except csv.Error:
            continue
        lines = (lines if whole else lines[:-1] or lines)[:SNIFF_ROWS]
        if lines and len(lines[0]) > 1:
            widths[delimiter], rows[delimiter] = [len(row) for row in lines], lines[0]
    fitting = list(widths)
    if len(fitting) > 1:
        named = [d for d in fitting if {source.prompt_column, source.completion_column} <= {*rows[d], None}]
        fitting = named if source.prompt_column and named else fitting
    if len(fitting) > 1:
        fitting = [d for d in fitting if len(set(widths[d])) == 1] or fitting
    return fitting, widths[fitting[0]][0] if fitting else 1


def detect_delimiter(path: Path, head: bytes, source: Source) -> str:
    """Find the delimiter of a table.

    Raises:
        UserError: If several would do.
    """
    if source.delimiter is not None:
        return source.delimiter
    by_ending = "\t" if data_suffix(path) == ".tsv" else ","
    fitting, _ = possible_delimiters(head, source)
    if len(fitting) > 1 and not (by_ending == "\t" and by_ending in fitting):
        raise UserError(
            str(path),
            f"its columns may be parted by {' or by '.join(map(repr, fitting))}",
            got=head.partition(b"\n")[0][:80].decode(errors="replace").strip(),
            do="name its delimiter in ingest.sources",
        )
    return fitting[0] if len(fitting) == 1 else by_ending
