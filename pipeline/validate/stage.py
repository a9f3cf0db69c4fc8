"""Stage 2. Reads data/ingest/: the pairs, and how many rows were set aside there.

Computes what Great Expectations says of every pair, and which side of the split each good pair is on.
Writes data/validate/: train, validation and test.parquet, quarantine.parquet, overlaps.parquet (test rows that training
nearly has), labels.json, report.json, report.html.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import runner
from pipeline.champion import read_champion
from pipeline.dedup.minhash import Near, near_duplicates
from pipeline.files import counts, write_json
from pipeline.holdout.scored_prompts import FOLDER, NOTHING, Tested, read_tested
from pipeline.pairs import PAIRS, QUARANTINE, SPLITS, Quarantined, read_quarantine
from pipeline.params import Prompt, Task, Validate
from pipeline.validate.checks import Check, action_of, balance_checks, neighbour_checks, text_checks
from pipeline.validate.columns import TEST, Columns, Hashes, Numbers, Reader, masked, masked_bytes
from pipeline.validate.contamination import overlaps_of, summed
from pipeline.validate.drift import moved_from, profile_of, trained, words_of
from pipeline.validate.duplicates import Flags, neighbour_columns
from pipeline.validate.expectations import data_docs, hold
from pipeline.validate.findings import KEPT, Finding, Judged, named, reasons_of
from pipeline.validate.label_checks import balance_columns, spelling_columns
from pipeline.validate.report import validation_page
from pipeline.validate.splits import among, claimed_by, sides_of, with_claimed
from pipeline.validate.stop_conditions import labels_of, refusal

log = logging.getLogger(__name__)

BATCH = 20_000


def batches_of(path: Path) -> Iterator[pa.RecordBatch]:
    """Read pairs some at a time."""
    yield from pq.ParquetFile(path).iter_batches(BATCH)


def chosen(path: Path, rows: Flags) -> Iterator[pa.RecordBatch]:
    """Read some of the pairs."""
    start = 0
    for batch in batches_of(path):
        yield batch.filter(pa.array(rows[start : start + len(batch)]))
        start += len(batch)


def report_of(judged: Judged, *, labels: bool) -> dict[str, Any]:
    """Account for every row, and say what each check found."""
    columns, kept = judged.columns, judged.kept
    rows = np.bincount(columns.completions[kept], minlength=len(columns.answers)).tolist()
    labelled = sorted(zip(columns.answers, rows, strict=True), key=lambda item: (-item[1], item[0])) if labels else []
    aside = [judged.findings[number].check.reason for number in judged.why[~kept]]
    return {
        "labels": {label: number for label, number in labelled if number},
        "rows": {
            "in": len(columns) + len(judged.unread),
            "unreadable": len(judged.unread),
            "set_aside": len(aside),
            "kept": int(kept.sum()),
        },
        "stays_tested": judged.moved,
        "splits": {name: int((kept & (judged.sides == at)).sum()) for at, name in enumerate(SPLITS)},
        "reasons": counts([*judged.unread, *aside]),
        "checks": [
            {
                "reason": found.check.reason,
                "expects": found.check.expects,
                "action": found.action,
                "fix": found.check.fix,
                "rows": len(found.places),
                "first": named(columns, found.places[:3]),
            }
            for found in judged.findings
        ],
    }


def masks_of(findings: Sequence[Finding]) -> list[str]:
    """Name the checks whose findings are masked."""
    return [found.check.reason for found in findings if found.action == "mask"]


def write_rows(path: Path, folder: Path, judged: Judged, splits: Sequence[str]) -> None:
    """Write each pair into its split or the quarantine, some at a time; what is to be masked is."""
    with ExitStack() as stack:
        places = [stack.enter_context(writer(folder / f"{name}.parquet", PAIRS)) for name in splits]
        quarantine = stack.enter_context(writer(folder / "quarantine.parquet", QUARANTINE))
        start = 0
        for batch in batches_of(path):
            end = start + len(batch)
            sides, why = judged.sides[start:end], judged.why[start:end]
            quarantine.write_batch(set_aside(batch, why, judged.findings))
            good = masked(batch, masks_of(judged.findings))
            for number, place in enumerate(places):
                place.write_batch(good.filter(pa.array((sides == number) & (why == KEPT))))
            start = end


def masked_row(row: Quarantined, masks: Sequence[str]) -> Quarantined:
    """Mask what is shown of a row that was set aside; its file keeps the very bytes."""
    return replace(row, raw=masked_bytes(row.raw, masks)) if masks else row


def writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file that grows by batches."""
    return pq.ParquetWriter(path, schema, compression="zstd")


def set_aside(batch: pa.RecordBatch, why: Numbers, findings: Sequence[Finding]) -> pa.RecordBatch:
    """Give the rows of a batch that are set aside, with the reason of each."""
    bad = batch.filter(pa.array(why != KEPT))
    checks = [findings[number].check for number in why[why != KEPT]]
    found = {
        "source": bad["source"],
        "row": bad["row"],
        "reason": pa.array([check.reason for check in checks], pa.string()),
        "detail": pa.array([f"not so: {check.expects}" for check in checks], pa.string()),
        "raw": bad["raw"],
    }
    return pa.RecordBatch.from_pydict(found, schema=QUARANTINE)


def write_docs(folder: Path, judged: Judged) -> None:
    """Write Great Expectations' own pages, one for each time that it was asked."""
    folder.mkdir()
    for number, result in enumerate(judged.results, start=1):
        (folder / f"{number}.html").write_text(data_docs(result), encoding="utf-8")


def judge(
    columns: Columns, near: Near, tested: Hashes, validate: Validate, unread: Sequence[str], *, labels: bool
) -> Judged:
    """Say on which side each pair is, what the checks found, and what becomes of it.

    First by itself, then among those that are left, last what is left of each label: no row is set aside for one that
    is set aside itself.

    Args:
        columns: What is known of each pair.
        near: Near-duplicates among the prompts, and between them and those that were tested.
        tested: Hashes of the prompts that were tested before.
        validate: What is asked.
        unread: The reasons of rows that ingest set aside.
        labels: Whether completions are labels.
    """
    spelling = spelling_columns(columns, validate, labels=labels)
    findings, results = hold(columns.texts | spelling, text_checks(validate), validate)
    living = reasons_of(findings, len(columns)) == KEPT
    drawn = sides_of(columns, validate)
    claimed = claimed_by(tested, columns, near, living & (drawn == TEST))
    near, sides = among(near, len(columns.asked)), with_claimed(columns, drawn, claimed)
    others = {
        **neighbour_columns(columns, near, sides, living, set_aside_by(neighbour_checks(validate), validate)),
        "scored_before": ((sides != TEST) & claimed).astype(np.int64),
    }
    found, said = hold(others, neighbour_checks(validate), validate, np.flatnonzero(living))
    findings, results = findings + found, results + said
    living = reasons_of(findings, len(columns)) == KEPT
    balance = balance_columns(columns, sides, living, labels=labels)
    found, said = hold(balance, balance_checks(validate), validate, np.flatnonzero(living))
    findings, results = findings + found, results + said
    moved = int((living & (sides != drawn)).sum())
    return Judged(columns, sides, findings, reasons_of(findings, len(columns)), unread, results, moved)


def set_aside_by(checks: Sequence[Check], validate: Validate) -> set[str]:
    """Name the columns whose pairs are set aside."""
    return {check.column for check in checks if action_of(check, validate) == "quarantine"}


def look(
    source: Path, tested: Tested, validate: Validate, masks: Sequence[str], unread: Sequence[str], *, task: Task
) -> tuple[Judged, Near]:
    """Read the pairs and judge them; give near-duplicates among their prompts too."""
    languages = validate.languages if validate.checks.other_language != "off" else None
    labels = task == "labels"
    reader = Reader(validate.salt, masks, languages, labels=labels, json=task == "json")
    near = near_duplicates(reader.texts(batches_of(source)), validate.near_duplicate_similarity, tested.grams)
    columns = reader.columns()
    return judge(columns, near, tested.prompts, validate, unread, labels=labels), among(near, len(columns.asked))


def run(prompt: Prompt, validate: Validate, data: Path) -> None:
    """Check the pairs, set the bad ones aside, split the good ones.

    Raises:
        Problem: If the run must stop; what was found is then left in data/validate/refused/.
    """
    source, labels = data / "ingest" / "pairs.parquet", prompt.task == "labels"
    unread = read_quarantine(data / "ingest" / "quarantine.parquet")
    masks = [name for name, action in validate.checks if action == "mask"]
    tested = read_tested(data / FOLDER) if validate.checks.scored_before != "off" else NOTHING
    judged, near = look(source, tested, validate, masks, [row.reason for row in unread], task=prompt.task)
    words = words_of(masked(batch, masks) for batch in chosen(source, trained(judged)))
    profile = profile_of(judged, words, labels=labels)
    moved = moved_from(read_champion(data / "champion"), profile, words, validate)
    problem = refusal(judged, validate.max_quarantined_share, moved, labels=labels)
    report = report_of(judged, labels=labels) | {"profile": profile, "drift": moved.summary()}
    overlaps = overlaps_of(
        (masked(batch, masks) for batch in batches_of(source)), judged.columns, near, judged.sides, judged.kept
    )
    report["stopped"] = str(problem) if problem else None
    report["overlap"] = summed(overlaps, report["splits"]["test"])
    kept, left = report["rows"]["kept"], report["rows"]["in"] - report["rows"]["kept"]
    log.info("validate: %d good rows, %d set aside; %s", kept, left, report["splits"])
    with runner.whole(data / "validate" / "refused" if problem else data / "validate") as folder:
        write_rows(source, folder, judged, () if problem else SPLITS)
        bad = read_quarantine(folder / "quarantine.parquet")
        write_json(folder / "report.json", report)
        page = validation_page(report, overlaps.to_pylist(), [masked_row(row, masks) for row in [*unread, *bad]])
        (folder / "report.html").write_text(page, encoding="utf-8")
        pq.write_table(overlaps, folder / "overlaps.parquet", compression="zstd")
        write_docs(folder / "data_docs", judged)
        if problem is None:
            write_json(folder / "labels.json", labels_of(judged) if labels else [])
    if problem:
        raise problem
