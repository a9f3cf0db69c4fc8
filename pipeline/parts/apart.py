"""Rows on which the fine-tuned model and the best rival differ."""

from collections.abc import Iterator
from html import escape
from itertools import islice

from pipeline.page import table
from pipeline.recorded import Recorded
from pipeline.standing import TUNED

SHOWN = 20
"""Rows that one arm alone has right, each way."""
LONGEST = 600
"""Characters of a text that are shown."""


def apart_part(rows: Recorded, metric: str, rival: str | None) -> Iterator[str]:
    """Show rows on which the fine-tuned model does better than the best rival, and worse; the furthest apart first."""
    if rival is None:
        return
    gains = [(row[f"{TUNED} {metric}"].value - row[f"{rival} {metric}"].value, row) for row in rows]
    for title, sign in (("better", 1), ("worse", -1)):
        found = sorted((one for one in gains if sign * one[0] > 0), key=lambda one: -sign * one[0])
        yield f"<h2>Rows on which the fine-tuned model is {title} than {escape(rival)}</h2>"
        if not found:
            yield "<p>None.</p>"
            continue
        if len(found) > SHOWN:
            yield "<p>Not all of them, the furthest apart first; all are in evaluate/predictions.parquet.</p>"
        yield table(["asked", "expected", TUNED, rival], (apart_row(row, rival) for _, row in islice(found, SHOWN)))


def apart_row(row: Recorded, rival: str) -> str:
    """Render a row with the answers of both."""
    return f"<tr>{''.join(text_cell(row[name]) for name in ('prompt', 'expected', TUNED, rival))}</tr>"


def text_cell(text: Recorded) -> str:
    """Render a text, cut off if it is long."""
    cut = "…" if len(text.value) > LONGEST else ""
    return f"<td class='text' {text.source}>{escape(text.value[:LONGEST])}{cut}</td>"
