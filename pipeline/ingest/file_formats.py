"""What a file of rows is, found by its ending and its beginning, and why it is taken for it."""

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import Problem
from pipeline.ingest.text_stream import COMPRESSED, content, encoding_of, ending_of, text
from pipeline.params import Source

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
NAMES = {"jsonl": "JSON lines", "json": "a JSON list", "csv": "a table", "parquet": "Parquet"}
DELIMITERS = (",", ";", "\t", "|")
SNIFFED = 65536
SNIFFED_ROWS = 100


@dataclass(frozen=True)
class Found:
    """What a file is: its format, the delimiter if it is a table, its encoding, and why."""

    format: str
    why: str
    encoding: str = "utf-8"
    delimiter: str | None = None

    def __str__(self) -> str:
        table = f" with {self.delimiter!r} between columns" if self.delimiter else ""
        encoding = "" if self.encoding == "utf-8" else f" in {self.encoding}"
        return f"{NAMES[self.format]}{encoding}{table}, {self.why}"


def find(path: Path, source: Source) -> Found:
    """Find what a file is: as params say, else by how it begins, else by its ending.

    Raises:
        Problem: If it is empty, binary, or may be several things: the setting that decides is named.
    """
    start = next(content(path), b"")[:SNIFFED]
    if not start:
        raise Problem(str(path), "is empty", do="put pairs into it, or take it out of ingest.sources")
    kind, why = (source.format, "as ingest.sources says") if source.format != "auto" else ("", "")
    if kind == "parquet" or (not kind and start.startswith(b"PAR1")):
        return parquet(path, why or "since it begins with PAR1")
    encoding = encoding_of(path, start, source.encoding)
    head = next(text(path, source.encoding), b"")[:SNIFFED]
    by_ending = ENDINGS.get(ending_of(path), "")
    if by_ending == "parquet" and not kind and source.delimiter is None:
        return parquet(path, "since its ending is .parquet")
    if b"\0" in head:
        raise Problem(
            str(path),
            "is binary",
            expected=f"{kind or by_ending or 'text'} in UTF-8",
            do="export it as text, or name its format or its encoding in ingest.sources",
        )
    if not kind:
        kind, why = by_beginning(path, head, by_ending, source)
    delimiter = delimiter_of(path, head, source) if kind == "csv" else None
    if not kind:
        raise unknown(path)
    return Found(kind, why, encoding, delimiter)


def parquet(path: Path, why: str) -> Found:
    """Check that Parquet is not inside an archive, where it cannot be read in parts."""
    if path.suffix.lower() in COMPRESSED:
        raise Problem(str(path), "is Parquet inside an archive", do="unpack it: Parquet is compressed in itself")
    return Found("parquet", why)


def unknown(path: Path) -> Problem:
    """Say that nothing tells what a file is."""
    return Problem(
        str(path),
        f"may be anything: its ending {ending_of(path)!r} is unknown, and it begins neither as JSON nor as a table",
        expected=", ".join(ENDINGS),
        do="name its format in ingest.sources",
    )


def by_beginning(path: Path, head: bytes, by_ending: str, source: Source) -> tuple[str, str]:
    """Find the format of a text, or none, and why; how it begins counts more than its ending where it is sure."""
    ending = f"since its ending is {ending_of(path)}"
    if source.delimiter is not None:
        return "csv", "since ingest.sources names its delimiter"
    kind, why = json_kind(head, whole=len(head) < SNIFFED)
    if kind and (kind != by_ending):
        return kind, why
    if by_ending:
        return by_ending, ending
    table = delimiters(head, source)
    return ("csv", f"since its first line has {table[1]} columns") if table[0] else ("", "")


def json_kind(head: bytes, *, whole: bool) -> tuple[str, str]:
    """Say which JSON a text surely is, and why; one object alone may be a row or a whole file, and is neither."""
    first, _, rest = head.lstrip().partition(b"\n")
    value = parsed(first)
    if isinstance(value, dict) and (rest.strip() or not whole):
        return "jsonl", "since its first line is a JSON object"
    if isinstance(value, list) and whole and not rest.strip() and all(isinstance(row, dict) for row in value):
        return "json", "since it is one JSON list"
    if value is None and re.match(rb"\[\s*\{", head.lstrip()) and (rest or not whole):
        return "json", "since it begins as a JSON list of objects"
    return "", ""


def parsed(line: bytes) -> Any:
    """Parse JSON; None if it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def delimiters(head: bytes, source: Source) -> tuple[list[str], int]:
    """List the delimiters that a table may have by its first rows, and how many columns the first of them makes.

    Each parts the first row; among several only those count that part every row alike, and bring the named columns.
    """
    widths: dict[str, list[int]] = {}
    rows: dict[str, list[str]] = {}
    shown = head.decode(errors="replace")
    whole = len(head) < SNIFFED
    for delimiter in DELIMITERS:
        try:
            found = [row for row in csv.reader(io.StringIO(shown, newline=""), delimiter=delimiter) if row]
        except csv.Error:
            continue
        found = (found if whole else found[:-1] or found)[:SNIFFED_ROWS]
        if found and len(found[0]) > 1:
            widths[delimiter], rows[delimiter] = [len(row) for row in found], found[0]
    fitting = list(widths)
    if len(fitting) > 1:
        named = [d for d in fitting if {source.prompt_column, source.completion_column} <= {*rows[d], None}]
        fitting = named if source.prompt_column and named else fitting
    if len(fitting) > 1:
        fitting = [d for d in fitting if len(set(widths[d])) == 1] or fitting
    return fitting, widths[fitting[0]][0] if fitting else 1


def delimiter_of(path: Path, head: bytes, source: Source) -> str:
    """Find the delimiter of a table.

    Raises:
        Problem: If several would do.
    """
    if source.delimiter is not None:
        return source.delimiter
    by_ending = "\t" if ending_of(path) == ".tsv" else ","
    fitting, _ = delimiters(head, source)
    if len(fitting) > 1 and not (by_ending == "\t" and by_ending in fitting):
        raise Problem(
            str(path),
            f"its columns may be parted by {' or by '.join(map(repr, fitting))}",
            got=head.partition(b"\n")[0][:80].decode(errors="replace").strip(),
            do="name its delimiter in ingest.sources",
        )
    return fitting[0] if len(fitting) == 1 else by_ending
