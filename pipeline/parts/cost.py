"""What the rivals take."""

from collections.abc import Iterator
from html import escape

from pipeline.parts.table import cell_of, numbers
from pipeline.recorded import Recorded


def cost_part(cost: Recorded, report: Recorded) -> Iterator[str]:
    """Tell what the rivals take; of the fine-tuned model no times are recorded."""
    if not cost.value:
        return
    rows = (
        f"<tr><td>{escape(arm.key)}</td>{seconds_cells(arm)}{token_cells(report['rivals'][arm.key])}</tr>"
        for arm in cost
    )
    yield "<h2>What the rivals take</h2>"
    yield numbers(
        ["rival", "seconds a request, median", "at the 95th of 100", "to fit", "rows", "tokens in", "out"], rows
    )
    yield "<p><small>Seconds on the machine of this run. No times of the fine-tuned model are recorded.</small></p>"


def seconds_cells(arm: Recorded) -> str:
    """Render the seconds of a rival."""
    told = [*(arm["request_seconds"][name] for name in ("p50", "p95")), arm["fit_seconds"]]
    return "".join(cell_of(seconds, ".3f") for seconds in told)


def token_cells(told: Recorded) -> str:
    """Render for how many rows a rival took how many tokens, in all."""
    return "".join(cell_of(told[name], ",") for name in ("rows", "tokens_in", "tokens_out"))
