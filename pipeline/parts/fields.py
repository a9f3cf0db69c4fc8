"""Each field of JSON."""

from collections.abc import Iterator
from html import escape

from pipeline.parts.table import numbers
from pipeline.recorded import Recorded, triple
from pipeline.standing import TUNED


def field_part(details: Recorded, rival: str | None) -> Iterator[str]:
    """Tell of each field of JSON how often it is right, by the fine-tuned model and the best rival."""
    if "fields" not in details[TUNED]:
        return
    arms = [TUNED] if rival is None else [TUNED, rival]
    rows = (
        f"<tr><td><code>{escape(field.key)}</code></td>"
        + "".join(
            triple(details[arm]["fields"][field.key]) if field.key in details[arm]["fields"] else "<td class='n'>-</td>"
            for arm in arms
        )
        + "</tr>"
        for field in details[TUNED]["fields"]
    )
    yield "<h2>Each field</h2>"
    yield numbers(["field", *arms], rows)
