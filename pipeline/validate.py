"""Stage 2. Reads data/ingest/: the pairs, and how many rows were set aside there.

Computes what Great Expectations says of every pair, and which side of the split each good pair is on.
Writes data/validate/: train, validation and test.parquet, quarantine.parquet, overlaps.parquet (test rows that training
nearly has), labels.json, report.json, report.html.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import stage
from pipeline.columns import TEST, TRAIN, Columns, Numbers, Reader
from pipeline.near import Near, near_duplicates
from pipeline.neighbours import label_columns, neighbour_columns, sides_of
from pipeline.overlaps import overlaps_of, summed
from pipeline.page import validation_page
from pipeline.pairs import PAIRS, QUARANTINE, SPLITS, counts, read_quarantine, write_json
from pipeline.params import Prompt, Validate
from pipeline.personal import masked_pairs
from pipeline.problem import Problem
from pipeline.suite import Finding, hold

log = logging.getLogger(__name__)

BATCH = 20_000
NAMED_ROWS = 10
CROWDED = 0.2
"""Share of the pairs that may be left out as near-duplicates of held-out ones: with more, they are no duplicates."""
KEPT = -1
"""In place of the number of the finding that sets a row aside."""


def batches_of(path: Path) -> Iterator[pa.RecordBatch]:
    """Read pairs some at a time."""
    yield from pq.ParquetFile(path).iter_batches(BATCH)


def reasons_of(findings: Sequence[Finding], rows: int) -> Numbers:
    """Give for each pair the number of the first finding that sets it aside, or KEPT."""
    why = np.full(rows, KEPT, np.int64)
    for number in reversed(range(len(findings))):
        if findings[number].sets_aside:
            why[findings[number].places] = number
    return why


def named(columns: Columns, places: Numbers) -> str:
    """Name the rows at some places."""
    rows = [f"{columns.files[columns.sources[place]]} row {columns.rows[place]}" for place in places[:NAMED_ROWS]]
    return ", ".join(rows) + (" and others" if len(places) > NAMED_ROWS else "")


def refuse(findings: Sequence[Finding], columns: Columns) -> None:
    """Stop where params say that a check must hold.

    Raises:
        Problem: If it does not; it names the rows, and the other checks that do not hold either.
    """
    broken = [found for found in findings if found.action == "error" and len(found.places)]
    if broken:
        first = broken[0]
        also = "".join(f"; also {found.check.reason}: {len(found.places)} rows" for found in broken[1:])
        raise Problem(
            f"validate.checks.{first.check.reason}",
            f"{len(first.places):,} rows break it",
            expected=first.check.expects,
            got=named(columns, first.places) + also,
            do=f"{first.check.fix}, or set it to warn",
        )


def too_many(why: Numbers, findings: Sequence[Finding], columns: Columns, unread: Sequence[str], limit: float) -> None:
    """Stop when more rows have a fault of their own than params allow; copies and neighbours are no faults.

    Args:
        why: Of each pair, the number of the finding that sets it aside, or KEPT.
        findings: What was found.
        columns: The pairs.
        unread: The reasons of rows that ingest set aside.
        limit: Share of all rows, unread ones too.

    Raises:
        Problem: If there are more.
    """
    faulty = np.array([found.check.fault for found in findings], bool)
    places = np.flatnonzero((why != KEPT) & faulty[why])
    rows, bad = len(why) + len(unread), len(places) + len(unread)
    if bad > limit * rows:
        reasons = counts([*unread, *(findings[why[place]].check.reason for place in places)])
        told = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
        raise Problem(
            "validate.max_quarantined",
            f"{bad:,} of {rows:,} rows are bad: {told}",
            expected=f"at most {int(limit * rows):,} ({limit:g} of them)",
            got=named(columns, places) if len(places) else "rows that ingest could not read",
            do="look at them with `tunesmith data`, mend them, or raise the limit",
        )


def need_difference(why: Numbers, findings: Sequence[Finding]) -> None:
    """Check that pairs are not taken for near-duplicates merely because they share an instruction.

    Raises:
        Problem: If many would be left out of training as near-duplicates of held-out ones.
    """
    for number, found in enumerate(findings):
        left_out = int((why == number).sum())
        if found.check.reason in ("near_drawn", "near_test") and left_out > CROWDED * len(why):
            raise Problem(
                "validate.near_duplicate",
                f"{left_out:,} of {len(why):,} rows are nearly the same as a held-out one",
                expected=f"at most {CROWDED:.0%}",
                do="raise it; or, if the prompts share an instruction, move that into prompt.system; or set "
                f"validate.checks.{found.check.reason} to warn",
            )


def need_rows(sides: Numbers, why: Numbers) -> None:
    """Check that there is something to train on and something to test on.

    Raises:
        Problem: If there is not.
    """
    for name in ("train", "test"):
        if not ((sides == SPLITS.index(name)) & (why == KEPT)).any():
            raise Problem(
                f"{(why == KEPT).sum():,} good rows",
                f"the {name} split is empty",
                do=f"add rows, or change validate.{'test_share' if name == 'test' else 'validation_share'}",
            )


def labels_of(columns: Columns, sides: Numbers, why: Numbers) -> list[str]:
    """List the labels that training knows.

    Raises:
        Problem: If the test rows have one that training has not: it could never be answered.
    """
    kept = why == KEPT
    trained, tested = (
        np.bincount(columns.completions[kept & (sides == side)], minlength=len(columns.answers))
        for side in (TRAIN, TEST)
    )
    unknown = {columns.answers[at]: int(tested[at]) for at in np.flatnonzero((trained == 0) & (tested > 0))}
    if unknown:
        worst = sorted(unknown.items(), key=lambda item: (-item[1], item[0]))[:5]
        raise Problem(
            "the test split",
            f"labels that no training row has: {', '.join(f'{label!r} ({n} rows)' for label, n in worst)}",
            do="add training rows for them, or set prompt.task: text",
        )
    return sorted(columns.answers[at] for at in np.flatnonzero(trained))


def report_of(
    columns: Columns, sides: Numbers, why: Numbers, findings: Sequence[Finding], unread: Sequence[str], *, labels: bool
) -> dict[str, Any]:
    """Account for every row, and say what each check found."""
    kept = why == KEPT
    rows = np.bincount(columns.completions[kept], minlength=len(columns.answers)).tolist()
    labelled = sorted(zip(columns.answers, rows, strict=True), key=lambda item: (-item[1], item[0])) if labels else []
    return {
        "labels": {label: number for label, number in labelled if number},
        "rows": {
            "in": len(columns) + len(unread),
            "unreadable": len(unread),
            "set_aside": int((~kept).sum()),
            "kept": int(kept.sum()),
        },
        "splits": {name: int((kept & (sides == at)).sum()) for at, name in enumerate(SPLITS)},
        "reasons": counts([*unread, *(findings[number].check.reason for number in why[~kept])]),
        "checks": [
            {
                "reason": found.check.reason,
                "expects": found.check.expects,
                "action": found.action,
                "fix": found.check.fix,
                "rows": len(found.places),
                "first": named(columns, found.places[:3]),
            }
            for found in findings
        ],
    }


def write_rows(path: Path, folder: Path, sides: Numbers, why: Numbers, findings: Sequence[Finding]) -> None:
    """Write each pair into its split or the quarantine, some at a time; what is to be masked is."""
    masks = {found.check.reason: found.places for found in findings if found.action == "mask"}
    with ExitStack() as stack:
        places = [stack.enter_context(writer(folder / f"{name}.parquet", PAIRS)) for name in SPLITS]
        quarantine = stack.enter_context(writer(folder / "quarantine.parquet", QUARANTINE))
        start = 0
        for batch in batches_of(path):
            some = slice(start, start + len(batch))
            start += len(batch)
            quarantine.write_batch(set_aside(batch, why[some], findings))
            good = masked_pairs(
                batch, {reason: at[(at >= some.start) & (at < some.stop)] - some.start for reason, at in masks.items()}
            )
            for number, place in enumerate(places):
                place.write_batch(good.filter(pa.array((sides[some] == number) & (why[some] == KEPT))))


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


def judge(columns: Columns, near: Near, validate: Validate, *, labels: bool) -> tuple[Numbers, list[Finding]]:
    """Say on which side each pair is, and what the checks found."""
    sides = sides_of(columns, validate)
    numbers = {
        **columns.texts,
        **neighbour_columns(columns, near, sides),
        **label_columns(columns, sides, validate, labels=labels),
    }
    return sides, hold(numbers, validate)


def run(prompt: Prompt, validate: Validate, data: Path) -> None:
    """Check the pairs, set the bad ones aside, split the good ones."""
    source = data / "ingest" / "pairs.parquet"
    unread = read_quarantine(data / "ingest" / "quarantine.parquet")
    reader = Reader(validate.salt)
    near = near_duplicates(reader.prompts(batches_of(source)), validate.near_duplicate)
    columns = reader.columns()
    sides, findings = judge(columns, near, validate, labels=prompt.task == "labels")
    why = reasons_of(findings, len(columns))
    refuse(findings, columns)
    too_many(why, findings, columns, [row.reason for row in unread], validate.max_quarantined)
    need_difference(why, findings)
    need_rows(sides, why)
    labels = labels_of(columns, sides, why) if prompt.task == "labels" else []
    report = report_of(columns, sides, why, findings, [row.reason for row in unread], labels=bool(labels))
    log.info(
        "validate: %d good rows, %d set aside; %s",
        report["rows"]["kept"],
        report["rows"]["in"] - report["rows"]["kept"],
        report["splits"],
    )
    with stage.whole(data / "validate") as folder:
        write_rows(source, folder, sides, why, findings)
        overlaps = overlaps_of(batches_of(source), columns, near, sides, why == KEPT)
        report["overlap"] = summed(overlaps, report["splits"]["test"])
        pq.write_table(overlaps, folder / "overlaps.parquet", compression="zstd")
        bad = read_quarantine(folder / "quarantine.parquet")
        write_json(folder / "labels.json", labels)
        write_json(folder / "report.json", report)
        (folder / "report.html").write_text(
            validation_page(report, overlaps.to_pylist(), [*unread, *bad]), encoding="utf-8"
        )


if __name__ == "__main__":
    stage.main(lambda params, data: run(params.prompt, params.validate, data))
