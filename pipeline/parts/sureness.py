"""How far the fine-tuned model is to be believed when it is sure."""

from collections.abc import Iterator

from pipeline import charts
from pipeline.parts.table import numbers
from pipeline.recorded import Recorded, triple


def reliability_part(told: Recorded) -> Iterator[str]:
    """Show how far the fine-tuned model is to be believed when it is sure."""
    if "reliability" not in told or not told["reliability"].value:
        return
    rows = (
        f"<tr><td>{tenth['from'].shown('.1f')} to {tenth['to'].shown('.1f')}</td>"
        f"<td class='n'>{tenth['probability'].shown('.3f')}</td>{triple(tenth['right'])}</tr>"
        for tenth in told["reliability"]
    )
    yield "<h2>How sure the fine-tuned model was, and how many of these were right</h2>"
    yield charts.reliability(told["reliability"])
    yield numbers(["sure", "on average", "right"], rows)
