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

from pipeline.arrays import Bools, Ints, UInts
from pipeline.champion import read_champion
from pipeline.dedup.minhash import NearDuplicates, near_duplicates
from pipeline.files import atomic_folder, count_values, write_json
from pipeline.holdout.scored_prompts import NO_SCORED_PROMPTS, SCORED_PROMPTS_FOLDER, ScoredPrompts, read_scored_prompts
from pipeline.pairs import PAIRS_SCHEMA, QUARANTINE_SCHEMA, SPLITS, Quarantined, read_quarantine
from pipeline.params import Prompt, Task, Validate
from pipeline.validate.checks import RowCheck, action_of, balance_checks, neighbour_checks, text_checks
from pipeline.validate.columns import TEST, ColumnReader, PairColumns, mask_batch, mask_raw
from pipeline.validate.contamination import find_overlaps, summarize_overlaps
from pipeline.validate.drift import drift_from_champion, training_profile, training_rows, word_counts
from pipeline.validate.duplicates import neighbour_columns
from pipeline.validate.expectations import render_data_docs, run_suite
from pipeline.validate.findings import NOT_QUARANTINED, Finding, ValidatedPairs, quarantine_reasons, row_names
from pipeline.validate.label_checks import balance_columns, spelling_columns
from pipeline.validate.report import validation_page
from pipeline.validate.splits import assign_splits, pin_to_test, prompts_among, scored_before
from pipeline.validate.stop_conditions import stop_reason, training_label_set

log = logging.getLogger(__name__)

VALIDATION_BATCH_ROWS = 20_000


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Read pairs some at a time."""
    yield from pq.ParquetFile(path).iter_batches(VALIDATION_BATCH_ROWS)


def select_rows(path: Path, rows: Bools) -> Iterator[pa.RecordBatch]:
    """Read some of the pairs."""
    start = 0
    for batch in read_batches(path):
        yield batch.filter(pa.array(rows[start : start + len(batch)]))
        start += len(batch)


def validation_report(judged: ValidatedPairs, *, labels: bool) -> dict[str, Any]:
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
        "reasons": count_values([*judged.unread, *aside]),
        "checks": [
            {
                "reason": finding.check.reason,
                "expects": finding.check.expects,
                "action": finding.action,
                "fix": finding.check.fix,
                "rows": len(finding.places),
                "first": row_names(columns, finding.places[:3]),
            }
            for finding in judged.findings
        ],
    }


def masking_checks(findings: Sequence[Finding]) -> list[str]:
    """Name the checks whose findings are masked."""
    return [finding.check.reason for finding in findings if finding.action == "mask"]


def write_splits(path: Path, folder: Path, judged: ValidatedPairs, splits: Sequence[str]) -> None:
    """Write each pair into its split or the quarantine, some at a time; what is to be masked is."""
    with ExitStack() as stack:
        writers = [stack.enter_context(parquet_writer(folder / f"{name}.parquet", PAIRS_SCHEMA)) for name in splits]
        quarantine = stack.enter_context(parquet_writer(folder / "quarantine.parquet", QUARANTINE_SCHEMA))
        start = 0
        for batch in read_batches(path):
            end = start + len(batch)
            sides, why = judged.sides[start:end], judged.why[start:end]
            quarantine.write_batch(quarantined_rows(batch, why, judged.findings))
            good = mask_batch(batch, masking_checks(judged.findings))
            for number, writer in enumerate(writers):
                writer.write_batch(good.filter(pa.array((sides == number) & (why == NOT_QUARANTINED))))
            start = end


def mask_row(row: Quarantined, masks: Sequence[str]) -> Quarantined:
    """Mask what is shown of a row that was set aside; its file keeps the very bytes."""
    return replace(row, raw=mask_raw(row.raw, masks)) if masks else row


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file that grows by batches."""
    return pq.ParquetWriter(path, schema, compression="zstd")


def quarantined_rows(batch: pa.RecordBatch, why: Ints, findings: Sequence[Finding]) -> pa.RecordBatch:
    """Give the rows of a batch that are set aside, with the reason of each."""
    bad = batch.filter(pa.array(why != NOT_QUARANTINED))
    checks = [findings[number].check for number in why[why != NOT_QUARANTINED]]
    quarantined = {
        "source": bad["source"],
        "row": bad["row"],
        "reason": pa.array([check.reason for check in checks], pa.string()),
        "detail": pa.array([f"not so: {check.expects}" for check in checks], pa.string()),
        "raw": bad["raw"],
    }
    return pa.RecordBatch.from_pydict(quarantined, schema=QUARANTINE_SCHEMA)


def write_data_docs(folder: Path, judged: ValidatedPairs) -> None:
    """Write Great Expectations' own pages, one for each time that it was asked."""
    folder.mkdir()
    for number, result in enumerate(judged.results, start=1):
        (folder / f"{number}.html").write_text(render_data_docs(result), encoding="utf-8")


def validate_columns(
    columns: PairColumns,
    near: NearDuplicates,
    tested: UInts,
    validate: Validate,
    unread: Sequence[str],
    *,
    labels: bool,
) -> ValidatedPairs:
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
    findings, results = run_suite(columns.texts | spelling, text_checks(validate), validate)
    living = quarantine_reasons(findings, len(columns)) == NOT_QUARANTINED
    drawn = assign_splits(columns, validate)
    claimed = scored_before(tested, columns, near, living & (drawn == TEST))
    near, sides = prompts_among(near, len(columns.asked)), pin_to_test(columns, drawn, claimed)
    others = {
        **neighbour_columns(columns, near, sides, living, quarantining_checks(neighbour_checks(validate), validate)),
        "scored_before": ((sides != TEST) & claimed).astype(np.int64),
    }
    violations, gx_result = run_suite(others, neighbour_checks(validate), validate, np.flatnonzero(living))
    findings, results = findings + violations, results + gx_result
    living = quarantine_reasons(findings, len(columns)) == NOT_QUARANTINED
    balance = balance_columns(columns, sides, living, labels=labels)
    violations, gx_result = run_suite(balance, balance_checks(validate), validate, np.flatnonzero(living))
    findings, results = findings + violations, results + gx_result
    moved = int((living & (sides != drawn)).sum())
    return ValidatedPairs(columns, sides, findings, quarantine_reasons(findings, len(columns)), unread, results, moved)


def quarantining_checks(checks: Sequence[RowCheck], validate: Validate) -> set[str]:
    """Name the columns whose pairs are set aside."""
    return {check.column for check in checks if action_of(check, validate) == "quarantine"}


def read_and_validate(
    source: Path, tested: ScoredPrompts, validate: Validate, masks: Sequence[str], unread: Sequence[str], *, task: Task
) -> tuple[ValidatedPairs, NearDuplicates]:
    """Read the pairs and judge them; give near-duplicates among their prompts too."""
    languages = validate.languages if validate.checks.other_language != "off" else None
    labels = task == "labels"
    reader = ColumnReader(validate.salt, masks, languages, labels=labels, json=task == "json")
    near = near_duplicates(reader.texts(read_batches(source)), validate.near_duplicate_similarity, tested.grams)
    columns = reader.columns()
    return validate_columns(columns, near, tested.prompts, validate, unread, labels=labels), prompts_among(
        near, len(columns.asked)
    )


def run(prompt: Prompt, validate: Validate, data: Path) -> None:
    """Check the pairs, set the bad ones aside, split the good ones.

    Raises:
        UserError: If the run must stop; what was found is then left in data/validate/refused/.
    """
    source, labels = data / "ingest" / "pairs.parquet", prompt.task == "labels"
    unread = read_quarantine(data / "ingest" / "quarantine.parquet")
    masks = [name for name, action in validate.checks if action == "mask"]
    tested = (
        read_scored_prompts(data / SCORED_PROMPTS_FOLDER)
        if validate.checks.scored_before != "off"
        else NO_SCORED_PROMPTS
    )
    judged, near = read_and_validate(source, tested, validate, masks, [row.reason for row in unread], task=prompt.task)
    words = word_counts(mask_batch(batch, masks) for batch in select_rows(source, training_rows(judged)))
    profile = training_profile(judged, words, labels=labels)
    moved = drift_from_champion(read_champion(data / "champion"), profile, words, validate)
    problem = stop_reason(judged, validate.max_quarantined_share, moved, labels=labels)
    report = validation_report(judged, labels=labels) | {"profile": profile, "drift": moved.summary()}
    overlaps = find_overlaps(
        (mask_batch(batch, masks) for batch in read_batches(source)), judged.columns, near, judged.sides, judged.kept
    )
    report["stopped"] = str(problem) if problem else None
    report["overlap"] = summarize_overlaps(overlaps, report["splits"]["test"])
    kept, left = report["rows"]["kept"], report["rows"]["in"] - report["rows"]["kept"]
    log.info("validate: %d good rows, %d set aside; %s", kept, left, report["splits"])
    with atomic_folder(data / "validate" / "refused" if problem else data / "validate") as folder:
        write_splits(source, folder, judged, () if problem else SPLITS)
        bad = read_quarantine(folder / "quarantine.parquet")
        write_json(folder / "report.json", report)
        page = validation_page(report, overlaps.to_pylist(), [mask_row(row, masks) for row in [*unread, *bad]])
        (folder / "report.html").write_text(page, encoding="utf-8")
        pq.write_table(overlaps, folder / "overlaps.parquet", compression="zstd")
        write_data_docs(folder / "data_docs", judged)
        if problem is None:
            write_json(folder / "labels.json", training_label_set(judged) if labels else [])
    if problem:
        raise problem
