"""What the checks found in the data, in words: how many rows, which, and how to mend them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.pairs import SPLITS, Quarantined, read_quarantine

VALIDATE_FOLDER = "data/validate"
STOPPED_FOLDER = "data/validate/refused"
"""What the last run found if it stopped there; no stage reads it."""
LABEL_ERRORS_PATH = "data/baselines/label_errors.parquet"
ROWS_SHOWN = 3
ROW_CHARS = 160
ACTION_PHRASES = {"error": "the run stops", "quarantine": "set aside", "mask": "masked", "warn": "kept"}


def stopped_findings(root: Path) -> Path | None:
    """Give the folder of what was found if the last look ended there; what was restored since then counts more."""
    stopped = (root / STOPPED_FOLDER / "report.json").exists() and not (root / VALIDATE_FOLDER / "report.json").exists()
    return root / STOPPED_FOLDER if stopped else None


def latest_findings(root: Path) -> Path:
    """Give the folder of what was found last.

    Raises:
        UserError: If nobody has looked yet.
    """
    folder = stopped_findings(root) or root / VALIDATE_FOLDER
    if not (folder / "report.json").exists():
        raise UserError("the data", "have not been looked at yet", do="`tunesmith run --until validate` looks at them")
    return folder


def findings_lines(root: Path) -> Iterator[str]:
    """Say what was found, the counts first, then each check that does not hold with rows and what to do."""
    folder = latest_findings(root)
    report = read_json(folder / "report.json")
    rows, splits = report["rows"], report["splits"]
    aside = f"{rows['set_aside']:,} set aside + {rows['unreadable']:,} unreadable"
    if report["stopped"]:
        yield f"the run stopped: {report['stopped']}"
    yield f"{rows['in']:,} rows read = {rows['kept']:,} kept + {aside}"
    yield "kept: " + ", ".join(f"{splits[name]:,} {name}" for name in SPLITS)
    if report["stays_tested"]:
        yield f"{report['stays_tested']:,} rows stay in the test set as scored before (data/scored_prompts)"
    yield from overlap_lines(report["overlap"])
    yield from drift_lines(report["drift"])
    quarantine = root / "data/ingest/quarantine.parquet"
    unread = read_quarantine(quarantine) if quarantine.exists() else []
    if not quarantine.exists():
        yield "ingest has not finished since: rows that it could not read are not shown"
    bad = read_quarantine(folder / "quarantine.parquet")
    for reason in sorted({row.reason for row in unread}):
        yield from reason_lines(reason, "not read", [row for row in unread if row.reason == reason])
    for check in report["checks"]:
        if check["rows"]:
            yield from check_lines(check, [row for row in bad if row.reason == check["reason"]])
    yield from label_lines(root / LABEL_ERRORS_PATH)
    yield f"more: {(folder / 'report.html').relative_to(root)}"


def label_lines(path: Path) -> Iterator[str]:
    """Say which training rows may have a wrong label, as the baselines of the last run have it."""
    if not path.exists() or (rows := pd.read_parquet(path)).empty:
        return
    yield ""
    yield f"label errors: {len(rows):,} training rows may have a wrong label, as classifiers of the other rows agree"
    for row in rows.head(ROWS_SHOWN).itertuples():
        yield f"  {row.label!r}, rather {row.suggested!r}: {str(row.prompt)[:ROW_CHARS]}"
    yield f"  look at them in {LABEL_ERRORS_PATH}, the most confident first; nothing is changed by it"


def overlap_lines(overlap: dict[str, int]) -> Iterator[str]:
    """Say how much of the test set is as good as known."""
    if overlap["near"]:
        yield (
            f"test: {overlap['equal']:,} rows equal and {overlap['near']:,} nearly equal a row outside it; "
            f"{overlap['clean']:,} of {overlap['test_rows']:,} have nothing like them in training"
        )


def drift_lines(drift: dict[str, Any]) -> Iterator[str]:
    """Say what has moved from the rows that the champion was trained on."""
    for item in drift["compared"]:
        if item["broken"]:
            name, then, now = item["most"]
            yield (
                f"drift: {item['what']} are not spread as the champion's: {item['distance']:.0%} would have to be "
                f"others, above all {name!r}: {then:.1%} then, {now:.1%} now"
            )


def check_lines(check: dict[str, Any], rows: list[Quarantined]) -> Iterator[str]:
    """Say of one check how many rows break it, what becomes of them, which they are, and what to do."""
    yield ""
    yield f"{check['reason']}: {check['rows']:,} rows, {ACTION_PHRASES[check['action']]}; expected: {check['expects']}"
    yield from row_examples(rows) if rows else [f"  {check['first']}"]
    yield f"  {check['fix']}"


def reason_lines(reason: str, then: str, rows: list[Quarantined]) -> Iterator[str]:
    """Say of rows that could not be read how many there are, and show some."""
    yield ""
    yield f"{reason}: {len(rows):,} rows, {then}: {rows[0].detail}"
    yield from row_examples(rows)


def row_examples(rows: list[Quarantined]) -> Iterator[str]:
    """Show the first rows, each with its place and its bytes."""
    for row in rows[:ROWS_SHOWN]:
        yield f"  {row.source} row {row.row}: {row.raw.decode(errors='replace')[:ROW_CHARS]}"
    if len(rows) > ROWS_SHOWN:
        yield f"  and {len(rows) - ROWS_SHOWN:,} more"
