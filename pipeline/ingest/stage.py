"""Stage 1. Reads the sources that params name, row by row, so that memory does not grow with them.

Computes pairs: finds each file's format and each row's shape, and takes a sample per label where asked.
Writes data/ingest/: pairs.parquet, quarantine.parquet (rows that are no pair), report.json (every row accounted for).
"""

import hashlib
import heapq
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.files import atomic_folder, rank_counts, write_json  # fmt: skip
from pipeline.ingest.chat_formats import NotAPair, read_chat_turns, require_role_order
from pipeline.ingest.download import fetch_source
from pipeline.ingest.file_formats import FORMAT_BY_SUFFIX, FileFormat, detect_format
from pipeline.ingest.readers import SourceRecord, read_records
from pipeline.ingest.text_stream import data_suffix
from pipeline.pairs import Message, Pair, Quarantined, RowWriter, pair_writer, quarantine_writer  # fmt: skip
from pipeline.params import REMOTE, Ingest, Source

log = logging.getLogger(__name__)

RowLocation = tuple[str, int]
"""Where a row stands: its file and its number there."""


def record_to_pair(record: SourceRecord, source: Source, name: str) -> Pair:
    """Make a pair of a row.

    Raises:
        NotAPair: If it is none; nothing is guessed.
    """
    if record.fault:
        raise NotAPair(*record.fault)
    if not isinstance(record.value, dict):
        raise NotAPair("not_an_object", f"got {type(record.value).__name__}")
    turns = read_chat_turns(record.value, source)
    for turn in turns:
        require_text(turn.role, turn.content)
    require_role_order([turn.role for turn in turns])
    *prompt, answer = turns
    messages = tuple([Message(*turn) for turn in prompt])
    return Pair(messages, answer.content, name, record.row, source.split, record.raw)


def require_text(role: str, content: Any) -> None:
    """Check that what a turn says is text that can be written."""
    if not isinstance(content, str):
        raise NotAPair("not_text", f"the {role} turn is {type(content).__name__}")
    if not content.isascii() and escape_surrogates(content) != content:
        raise NotAPair("not_unicode", f"the {role} turn has half a character")


def escape_surrogates(text: str) -> str:
    """Write a lone surrogate (which UTF-8 cannot encode) as its escape."""
    return text.encode(errors="backslashreplace").decode()


def read_file(source: Source, name: str, records: Iterable[SourceRecord]) -> Iterator[Pair | Quarantined]:
    """Turn each row of a file into a pair or set it aside; none is dropped."""
    for record in records:
        try:
            yield record_to_pair(record, source, name)
        except NotAPair as why:
            yield Quarantined(name, record.row, why.reason, escape_surrogates(why.detail), record.raw)


def sample_per_label(pairs: Iterable[Pair], per_label: int, seed: int) -> set[RowLocation]:
    """Choose the same rows of each completion every time: those whose seeded hash is smallest.

    Holds no more than the places that are chosen so far.
    """
    chosen: dict[bytes, list[tuple[int, int, int, RowLocation]]] = {}
    for order, pair in enumerate(pairs):
        drawn = int.from_bytes(hashlib.sha256(f"{seed} {pair.id}".encode()).digest(), "big")
        entry = (-drawn, -pair.row, -order, (pair.source, pair.row))  # the largest on top, to be pushed out
        of_label = chosen.setdefault(hashlib.sha256(pair.completion.encode()).digest(), [])
        if len(of_label) < per_label:
            heapq.heappush(of_label, entry)
        else:
            heapq.heappushpop(of_label, entry)
    return {index for of_label in chosen.values() for *_, index in of_label}


@dataclass(frozen=True)
class SourceFile:
    """A file to read: its name, where it lies, and what it was found to be."""

    name: str
    path: Path
    file_format: FileFormat


def source_files(source: Source, folder: Path) -> list[Path]:
    """Find the files that a source names.

    Raises:
        UserError: If there is none, or the path leaves the folder.
    """
    where = f"params.yaml: ingest.sources: {source.path}"
    if Path(source.path).is_absolute() or ".." in Path(source.path).parts:
        raise UserError(where, "leaves ingest.folder", expected=f"a path below {folder}", do="copy the file there")
    named = folder / source.path
    if source.path and named.is_dir():
        return row_files_below(named, where)
    try:
        files = [named] if named.is_file() else sorted(path for path in folder.glob(source.path) if path.is_file())
    except (ValueError, IndexError, NotImplementedError) as error:
        raise UserError(
            where, "is no path or pattern", got=str(error), do="as in a shell: *.jsonl, **/*.csv"
        ) from error
    if not files:
        raise UserError(
            where, "no such file", expected=f"a file in {folder}", do="check the name, or `dvc pull` the data"
        )
    return files


def row_files_below(folder: Path, where: str) -> list[Path]:
    """List the files of rows below a folder, hidden ones left out; name those that are none.

    Raises:
        UserError: If there is none.
    """
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    seen = sorted(name for name in names if not any(part.startswith(".") for part in name.parts))
    files = [folder / name for name in seen if data_suffix(name) in FORMAT_BY_SUFFIX]
    others = [str(name) for name in seen if data_suffix(name) not in FORMAT_BY_SUFFIX]
    if others:
        log.info("ingest: %s: not read, by their endings: %s", folder, ", ".join(others))
    if not files:
        raise UserError(
            where, "no file of rows in this folder", expected=", ".join(FORMAT_BY_SUFFIX), got=", ".join(others)
        )
    return files


def detect_inputs(source: Source, folder: Path) -> list[SourceFile]:
    """Find the files of a source, and what each of them is."""
    if REMOTE.match(source.path):
        files = fetch_source(source)
    else:
        files = {path.relative_to(folder).as_posix(): path for path in source_files(source, folder)}
    inputs = [SourceFile(name, path, detect_format(path, source)) for name, path in files.items()]
    for one in inputs:
        log.info("ingest: %s: %s", one.name, one.file_format)
    return inputs


@dataclass
class FileCounts:
    """What became of the rows of one file."""

    file: str
    found: str
    kept: int = 0
    not_sampled: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first_aside: Quarantined | None = None

    @property
    def numbers(self) -> tuple[int, int, int]:
        """All rows of the file, those kept, those set aside."""
        aside = self.reasons.total()
        return self.kept + self.not_sampled + aside, self.kept, aside

    def summary(self) -> dict[str, Any]:
        """Put it into the report."""
        rows, kept, aside = self.numbers
        return {
            "file": self.file,
            "found": self.found,
            "rows": rows,
            "kept": kept,
            "quarantined": aside,
            "not_sampled": self.not_sampled,
        }


class PairOutputs:
    """The two files that rows go into: those that are kept, and those set aside."""

    def __init__(self, pairs: RowWriter[Pair], aside: RowWriter[Quarantined]) -> None:
        self._pairs = pairs
        self._aside = aside

    def take(self, rows: Iterable[Pair | Quarantined], file: SourceFile, chosen: set[RowLocation] | None) -> FileCounts:
        """Write the rows of a file, of its pairs only the chosen ones if some are, and account for each."""
        account = FileCounts(file.name, str(file.file_format))
        for row in rows:
            if isinstance(row, Quarantined):
                self._aside.add(row)
                account.reasons[row.reason] += 1
                account.first_aside = account.first_aside or row
            elif chosen is None or (row.source, row.row) in chosen:
                self._pairs.add(row)
                account.kept += 1
            else:
                account.not_sampled += 1
        log.info("ingest: %s: %d rows, %d kept, %d set aside", file.name, *account.numbers)
        return account


def read_sources(ingest: Ingest, outputs: PairOutputs) -> Iterator[FileCounts]:
    """Read every source into the outputs, file by file; a source that is sampled is read twice."""
    for source in ingest.sources:
        files = detect_inputs(source, Path(ingest.folder))
        chosen = sampled_rows(source, files, ingest.seed)
        for file in files:
            yield outputs.take(read_rows_of(source, file), file, chosen)


def read_rows_of(source: Source, file: SourceFile) -> Iterator[Pair | Quarantined]:
    """Read the rows of a file."""
    return read_file(source, file.name, read_records(file.path, source, file_format=file.file_format))


def sampled_rows(source: Source, files: list[SourceFile], seed: int) -> set[RowLocation] | None:
    """Choose the rows of a source that asks for a sample, over all its files; None chooses all."""
    if source.per_label is None:
        return None
    rows = (row for file in files for row in read_rows_of(source, file))
    return sample_per_label((row for row in rows if isinstance(row, Pair)), source.per_label, seed)


def require_pairs(ingest: Ingest, accounts: list[FileCounts], reasons: dict[str, int]) -> None:
    """Refuse to go on without a single pair."""
    if any(account.kept for account in accounts):
        return
    got = "no rows at all"
    for first in [account.first_aside for account in accounts if account.first_aside][:1]:
        why = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
        got = f"{why}; first: {first.source} row {first.row}: {first.detail}"
    raise UserError(
        f"{ingest.folder}/{', '.join(source.path for source in ingest.sources)}",
        "not one row is a pair",
        got=got,
        do="write them as prompt and completion, messages, conversations, or instruction and output, or name the "
        "columns in ingest.sources",
    )


def run(ingest: Ingest, data: Path) -> None:
    """Read the sources and write the pairs."""
    with atomic_folder(data / "ingest") as folder:
        with (
            pair_writer(folder / "pairs.parquet") as pairs,
            quarantine_writer(folder / "quarantine.parquet") as aside,
        ):
            accounts = list(read_sources(ingest, PairOutputs(pairs, aside)))
        reasons = rank_counts(sum((account.reasons for account in accounts), Counter()))
        require_pairs(ingest, accounts, reasons)
        write_json(folder / "report.json", {"files": [account.summary() for account in accounts], "reasons": reasons})
