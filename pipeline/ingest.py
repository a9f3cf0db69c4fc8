"""Stage 1. Reads the sources that params name.

Computes pairs: finds each file's format and each row's shape, and takes a sample per label where asked.
Writes data/ingest/: pairs.parquet, quarantine.parquet (rows that are no pair), report.json (every row accounted for).
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import stage
from pipeline.pairs import (
    Message,
    Pair,
    Quarantined,
    counts,
    write_json,
    write_pairs,
    write_quarantine,
)  # fmt: skip
from pipeline.params import Ingest, Source
from pipeline.problem import Problem
from pipeline.sources import Record, read_records

log = logging.getLogger(__name__)

SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}
ROLES = ("system", "user", "assistant")


class NotAPair(Exception):
    """A row that cannot be read as a pair: a reason code, and what stood there."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def turns_of(row: dict[str, Any], source: Source) -> list[tuple[Any, Any]]:
    """Find the turns of a row, the answer last, by whichever shape it has.

    Known shapes: columns named in params; OpenAI `messages`; ShareGPT `conversations`; Alpaca `instruction`, `input`,
    `output`; `prompt` and `completion`.
    """
    if source.prompt_column is not None and source.completion_column is not None:
        return [
            ("user", field(row, source.prompt_column)),
            ("assistant", field(row, source.completion_column)),
        ]
    if "messages" in row:
        turns = turn_list(row["messages"])
        return [*system_of(row), *((turn.get("role"), turn.get("content")) for turn in turns)]
    if "conversations" in row:
        turns = turn_list(row["conversations"])
        roles = [SHAREGPT_ROLES.get(str(turn.get("from")), str(turn.get("from"))) for turn in turns]
        return [*system_of(row), *zip(roles, (turn.get("value") for turn in turns), strict=True)]
    if "instruction" in row and "output" in row:
        if row.get("history"):
            raise NotAPair("history", "turns before the instruction; write the row as messages")
        parts = [part for part in (row["instruction"], row.get("input")) if part not in ("", None)]
        odd = [part for part in parts if not isinstance(part, str)]
        return [*system_of(row), ("user", odd[0] if odd else "\n\n".join(parts)), ("assistant", row["output"])]
    if "prompt" in row and "completion" in row:
        return [*system_of(row), ("user", row["prompt"]), ("assistant", row["completion"])]
    raise NotAPair("no_known_shape", f"fields: {', '.join(sorted(map(str, row))) or 'none'}")


def system_of(row: dict[str, Any]) -> list[tuple[str, Any]]:
    """Take the system message that stands beside the turns, if there is one."""
    return [("system", row["system"])] if row.get("system") else []


def field(row: dict[str, Any], column: str) -> Any:
    """Look up a named column."""
    if column not in row:
        raise NotAPair("no_such_column", f"no {column!r} among: {', '.join(sorted(map(str, row)))}")
    return row[column]


def turn_list(value: Any) -> list[dict[str, Any]]:
    """Check that a conversation is a list of objects."""
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise NotAPair("bad_turns", f"expected a list of turns, got {type(value).__name__}")
    if any(turn.get("tool_calls") or turn.get("function_call") for turn in value):
        raise NotAPair("tool_calls", "a turn calls tools, which are not trained on")
    return value


def pair_of(record: Record, source: Source, name: str) -> Pair:
    """Make a pair of a row.

    Raises:
        NotAPair: If it is none; nothing is guessed.
    """
    if record.fault:
        raise NotAPair(*record.fault)
    if not isinstance(record.value, dict):
        raise NotAPair("not_an_object", f"got {type(record.value).__name__}")
    turns = turns_of(record.value, source)
    for role, content in turns:
        if role not in ROLES:
            raise NotAPair("unknown_role", f"got {role!r}")
        need_text(role, content)
    *prompt, (last, completion) = turns or [("", "")]
    if last != "assistant":
        raise NotAPair("no_answer", f"the last turn is by {last!r}, not by the assistant")
    if not any(role == "user" for role, _ in prompt):
        raise NotAPair("no_question", "no user turn before the answer")
    messages = tuple(Message(role, content) for role, content in prompt)
    return Pair(messages, completion, name, record.row, source.split, record.raw)


def need_text(role: str, content: Any) -> None:
    """Check that what a turn says is text that can be written."""
    if not isinstance(content, str):
        raise NotAPair("not_text", f"the {role} turn is {type(content).__name__}")
    if plain(content) != content:
        raise NotAPair("not_unicode", f"the {role} turn has half a character")


def plain(text: str) -> str:
    """Write half a character (a lone surrogate, which UTF-8 cannot hold) as its escape."""
    return text.encode(errors="backslashreplace").decode()


def read_source(source: Source, name: str, records: Iterable[Record]) -> Iterator[Pair | Quarantined]:
    """Turn each row of a file into a pair or set it aside; none is dropped."""
    for record in records:
        try:
            yield pair_of(record, source, name)
        except NotAPair as why:
            yield Quarantined(name, record.row, why.reason, plain(why.detail), record.raw)


def sample_per_label(pairs: list[Pair], per_label: int, seed: int) -> list[Pair]:
    """Take the same rows of each completion every time: those whose seeded hash is smallest, in file order."""
    by_label: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_label.setdefault(pair.completion, []).append(pair)
    chosen: set[tuple[str, int]] = set()
    for of_label in by_label.values():
        of_label.sort(key=lambda pair: (hashlib.sha256(f"{seed} {pair.id}".encode()).digest(), pair.row))
        chosen.update((pair.source, pair.row) for pair in of_label[:per_label])
    return [pair for pair in pairs if (pair.source, pair.row) in chosen]


def files_of(source: Source, folder: Path) -> list[Path]:
    """Find the files that a source names.

    Raises:
        Problem: If there is none, or the pattern leaves the folder.
    """
    where = f"params.yaml: ingest.sources: {source.path}"
    if Path(source.path).is_absolute() or ".." in Path(source.path).parts:
        raise Problem(where, "leaves ingest.folder", expected=f"a path below {folder}", do="copy the file there")
    try:
        named = folder / source.path
        files = [named] if named.is_file() else sorted(path for path in folder.glob(source.path) if path.is_file())
    except (ValueError, IndexError, NotImplementedError) as error:
        raise Problem(where, "is no path or pattern", got=str(error), do="as in a shell: *.jsonl, **/*.csv") from error
    if not files:
        raise Problem(
            where, "no such file", expected=f"a file in {folder}", do="check the name, or `dvc pull` the data"
        )
    return files


def read_all(ingest: Ingest) -> tuple[list[Pair], list[Quarantined], list[dict[str, Any]]]:
    """Read every source: the pairs, the rows set aside, and the account of each file."""
    pairs: list[Pair] = []
    quarantined: list[Quarantined] = []
    account: list[dict[str, Any]] = []
    for source in ingest.sources:
        files = {path.relative_to(ingest.folder).as_posix(): path for path in files_of(source, Path(ingest.folder))}
        rows = [row for name, path in files.items() for row in read_source(source, name, read_records(path, source))]
        good = [row for row in rows if isinstance(row, Pair)]
        bad = [row for row in rows if isinstance(row, Quarantined)]
        taken = sample_per_label(good, source.per_label, ingest.seed) if source.per_label else good
        pairs += taken
        quarantined += bad
        account += [account_of(name, good, taken, bad) for name in files]
    return pairs, quarantined, account


def account_of(name: str, good: Sequence[Pair], taken: Sequence[Pair], bad: Sequence[Quarantined]) -> dict[str, Any]:
    """Count what became of the rows of one file."""
    read, kept, aside = (sum(row.source == name for row in rows) for rows in (good, taken, bad))
    log.info("ingest: %s: %d rows, %d kept, %d set aside", name, read + aside, kept, aside)
    return {"file": name, "rows": read + aside, "kept": kept, "quarantined": aside, "not_sampled": read - kept}


def run(ingest: Ingest, data: Path) -> None:
    """Read the sources and write the pairs."""
    pairs, quarantined, account = read_all(ingest)
    if not pairs:
        reasons = ", ".join(f"{n} {reason}" for reason, n in counts(row.reason for row in quarantined).items())
        first = f"{quarantined[0].source} row {quarantined[0].row}: {quarantined[0].detail}" if quarantined else ""
        raise Problem(
            f"{ingest.folder}/{', '.join(source.path for source in ingest.sources)}",
            "not one row is a pair",
            got=f"{reasons}; first: {first}" if quarantined else "no rows at all",
            do="write them as prompt and completion, messages, conversations, or instruction and output, or name the "
            "columns in ingest.sources",
        )
    with stage.whole(data / "ingest") as folder:
        write_pairs(folder / "pairs.parquet", pairs)
        write_quarantine(folder / "quarantine.parquet", quarantined)
        write_json(folder / "report.json", {"files": account, "reasons": counts(row.reason for row in quarantined)})


if __name__ == "__main__":
    stage.main(lambda params, data: run(params.ingest, data))
