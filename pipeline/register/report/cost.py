"""What each arm costs, in money, seconds and tokens, and what quality that buys."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from pipeline.arms import FINETUNED
from pipeline.register.report.provenance import TracedValue
from pipeline.register.report.tables import number_cell, number_table

COST_COLUMNS = [
    "arm", "to make", "1,000 requests", "fine-tuned earned back", "seconds a request, median", "at the 95th of 100",
    "rows a second", "tokens in", "out",
]  # fmt: skip
COST_FORMATS = {
    "rows_per_second": ",.3g", "request_p50": ".3f", "request_p95": ".3f", "tokens_in": ",.1f", "tokens_out": ",.1f",
}  # fmt: skip


def cost_report(cost: TracedValue, metrics: TracedValue, metric: str) -> Iterator[str]:
    """Tell what each arm costs, and draw it against its metric.

    Args:
        cost: What register put together.
        metrics: What evaluate measured.
        metric: The one that decides.
    """
    currency = cost["prices"]["currency"]
    yield "<h2>What it costs</h2>"
    yield f"<p>{cost['text'].shown()}</p>"
    yield from quality_cost_plot(list(cost["lines"]), metrics, metric, currency)
    yield number_table(COST_COLUMNS, map(cost_row, cost["lines"]))
    yield (
        f"<p><small>In {currency.shown()}; {cost['prices']['machine_hour'].shown()} for an hour of this machine, kept "
        "busy: one that idles costs more per request. Seconds as measured on it in this run.</small></p>"
    )


def amount_format(amount: float | None) -> str:
    """Give the format of an amount: from a hundred on in whole units, never as a power of ten."""
    return ",.0f" if amount is not None and amount >= 100 else ",.3g"


def cost_row(line: TracedValue) -> str:
    """Render an arm."""
    own = [number_cell(line[name], amount_format(line[name].value)) for name in ("upfront", "per_1000")]
    took = [number_cell(line[name], COST_FORMATS[name]) for name in ("request_p50", "request_p95", "rows_per_second")]
    tokens = [number_cell(line[name], COST_FORMATS[name]) for name in ("tokens_in", "tokens_out")]
    back = f"<td class='n'>{line['earned_back'].shown()}</td>"
    return f"<tr><td>{escape(line['arm'].value)}</td>{''.join([*own, back, *took, *tokens])}</tr>"


SCATTER_WIDTH, SCATTER_HEIGHT = 400, 280
"""Pixels of the picture within its margins: few enough that its names can be read on a phone."""
NAME_GAP = 21
"""Pixels between two names, at least."""
SCATTER_STYLE = """
.bought { width: 100%; max-width: 32rem; } .bought text { font-size: 16px; } .bought .small { font-size: 14px; }
.bought .lead { stroke: currentColor; opacity: .35; }
"""


def quality_cost_plot(
    lines: Sequence[TracedValue], metrics: TracedValue, metric: str, currency: TracedValue
) -> Iterator[str]:
    """Draw the arms whose cost is known; nothing if those are fewer than two.

    Args:
        lines: What each arm costs.
        metrics: What evaluate measured of each.
        metric: The one that is drawn.
        currency: Of the costs.
    """
    known = [line for line in lines if line["per_1000"].value]
    if len(known) < 2:
        return
    costs = [math.log10(line["per_1000"].value) for line in known]
    first, last = math.floor(min(costs)), math.ceil(max(costs))
    across = [SCATTER_WIDTH * (cost - first) / max(last - first, 1) for cost in costs]
    found = [metrics["arms"][line["arm"].value][metric] for line in known]
    heights = separate_names([SCATTER_HEIGHT * (1 - one["value"].value) for one in found])
    arms = "".join(map(arm_dot, known, found, across, heights))
    ticks = "".join(
        cost_tick(power, SCATTER_WIDTH * (power - first) / max(last - first, 1)) for power in range(first, last + 1)
    )
    levels = "".join(metric_level(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    yield (
        f"<svg class='bought' viewBox='-44 -14 {SCATTER_WIDTH + 64} {SCATTER_HEIGHT + 76}' role='img'>{levels}{ticks}{arms}"  # noqa: E501
        f"<text class='small mid' x='{SCATTER_WIDTH / 2:g}' y='{SCATTER_HEIGHT + 54}'>1,000 requests, {escape(currency.value)}, "  # noqa: E501
        "logarithmic</text></svg>"
    )


def separate_names(heights: Sequence[float]) -> list[float]:
    """Move heights apart, so that what is written at them can be read: from the top down, then back from the bottom."""
    order, moved = sorted(range(len(heights)), key=heights.__getitem__), list(heights)
    for above, place in pairwise(order):
        moved[place] = max(moved[place], moved[above] + NAME_GAP)
    moved[order[-1]] = min(moved[order[-1]], SCATTER_HEIGHT - 4)
    for place, above in pairwise(reversed(order)):
        moved[above] = min(moved[above], moved[place] - NAME_GAP)
    return moved


def arm_dot(line: TracedValue, metric: TracedValue, x: float, height: float) -> str:
    """Draw an arm: its interval, its point, and its name to the side where there is room."""
    value, low, high = (SCATTER_HEIGHT * (1 - metric[end].value) for end in ("value", "low", "high"))
    kind, name = "own" if line["arm"].value == FINETUNED else "arm", line["arm"]
    side, anchor = (-1, "end") if x > SCATTER_WIDTH / 2 else (1, "")
    return (
        f"<g class='{kind}'><line class='range' x1='{x:.1f}' x2='{x:.1f}' y1='{low:.1f}' y2='{high:.1f}'/>"
        f"<line class='lead' x1='{x:.1f}' y1='{value:.1f}' x2='{x + 16 * side:.1f}' y2='{height:.1f}'/>"
        f"<circle class='dot' cx='{x:.1f}' cy='{value:.1f}' r='6'/>"
        f"<text class='name {anchor}' x='{x + 19 * side:.1f}' y='{height + 6:.1f}' {name.source}>{escape(name.value)}"
        "</text></g>"
    )


def cost_tick(power: int, x: float) -> str:
    """Draw a power of ten with its number."""
    return (
        f"<line class='rule' x1='{x:.1f}' x2='{x:.1f}' y1='0' y2='{SCATTER_HEIGHT}'/>"
        f"<text class='axis small mid' x='{x:.1f}' y='{SCATTER_HEIGHT + 24}'>{10.0**power:g}</text>"
    )


def metric_level(share: float) -> str:
    """Draw a level of the metric with its number."""
    y = SCATTER_HEIGHT * (1 - share)
    return (
        f"<line class='rule' x1='0' x2='{SCATTER_WIDTH}' y1='{y:g}' y2='{y:g}'/>"
        f"<text class='axis small end' x='-8' y='{y + 5:g}'>{share:g}</text>"
    )
