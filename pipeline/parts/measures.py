"""Every measure of every arm."""

from collections.abc import Iterator
from html import escape

from pipeline.recorded import Recorded, triple


def measure_rows(metrics: Recorded) -> Iterator[str]:
    """Render every measure of every arm."""
    for arm in metrics["arms"]:
        for measure in arm:
            yield f"<tr><td>{escape(arm.key)}</td><td class='n'>{escape(measure.key)}</td>{triple(measure)}</tr>"
