"""The page that shows what validate found: one file that needs nothing from the network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.html.render import render_template
from pipeline.pairs import Quarantined

VALIDATION_TEMPLATES = Path(__file__).parent / "templates"
LISTED_QUARANTINED = 200
"""Rows that a list of the page has at most."""
ACTION_WORDS = {
    "error": "the run stops",
    "quarantine": "row set aside",
    "mask": "masked",
    "warn": "reported only",
}


def validation_page(
    report: dict[str, Any], overlaps: Sequence[dict[str, Any]], quarantined: Sequence[Quarantined]
) -> str:
    """Render the results of validate as one self-contained HTML page."""
    rows = report["rows"]
    counts = {"rows read": rows["in"], "kept": rows["kept"], "set aside": rows["in"] - rows["kept"], **report["splits"]}
    return render_template(
        VALIDATION_TEMPLATES,
        "report.html.j2",
        tiles=counts.items(),
        checks=worst_first(report["checks"]),
        action_words=ACTION_WORDS,
        drift=report["drift"]["compared"],
        overlap=report["overlap"],
        overlaps=overlaps,
        labels=report["labels"],
        quarantined=quarantined,
        limit=LISTED_QUARANTINED,
    )


def worst_first(checks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put what is broken before what only warns, and what holds behind both."""
    return sorted(checks, key=lambda item: (not item["rows"], item["action"] == "warn"))
