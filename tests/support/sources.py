"""A source that asks for nothing special, for tests that read files."""

from pathlib import Path
from typing import Any

from pipeline.ingest.file_formats import detect_format
from pipeline.ingest.readers import SourceRecord, read_records
from pipeline.params import Ingest, Source

PLAIN: dict[str, Any] = {
    "path": "a.jsonl",
    "sha256": None,
    "format": "auto",
    "encoding": None,
    "delimiter": None,
    "split": None,
    "prompt_column": None,
    "completion_column": None,
    "per_label": None,
}


def asked(**values: Any) -> Source:
    """A source that asks for nothing but these values."""
    return Source(**{**PLAIN, **values})


def ingest(folder: Path, *sources: Source, seed: int = 1) -> Ingest:
    """The section for these sources."""
    return Ingest(folder=str(folder), sources=sources, seed=seed)


def records_of(path: Path, source: Source) -> list[SourceRecord]:
    """All rows of a file."""
    return list(read_records(path, source, file_format=detect_format(path, source)))
