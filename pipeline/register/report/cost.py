"""What each arm costs, in money, seconds and tokens, and what quality that buys."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from pipeline.register.baseline_comparison import TUNED
from pipeline.register.report.provenance import Recorded
from pipeline.register.report.tables import cell_of, numbers

HEAD = [
    "arm", "to make", "1,000 requests", "fine-tuned earned back", "seconds a request, median", "at the 95th of 100",
    "rows a second", "tokens in", "out",
]  # fmt: skip
FORMS = {
    "rows_per_second": ",.3g", "request_p50": ".3f", "request_p95": ".3f", "tokens_in": ",.1f", "tokens_out": ",.1f",
}  # fmt: skip


def cost_part(cost: Recorded, metrics: Recorded, metric: str) -> Iterator[str]:
    """Tell what each arm costs, and draw it against its metric.

    Args:
        cost: What register put together.
        metrics: What evaluate measured.
        metric: The one that decides.
    """
    currency = cost["prices"]["currency"]
    yield "<h2>What it costs</h2>"
    yield f"<p>{cost['text'].shown()}</p>"
    yield from bought(list(cost["lines"]), metrics, metric, currency)
    yield numbers(HEAD, map(line_row, cost["lines"]))
    yield (
        f"<p><small>In {currency.shown()}; {cost['prices']['machine_hour'].shown()} for an hour of this machine, kept "
        "busy: one that idles costs more per request. Seconds as measured on it in this run.</small></p>"
    )


def form_of(amount: float | None) -> str:
    """Give the format of an amount: from a hundred on in whole units, never as a power of ten."""
    return ",.0f" if amount is not None and amount >= 100 else ",.3g"


def line_row(line: Recorded) -> str:
    """Render an arm."""
    own = [cell_of(line[name], form_of(line[name].value)) for name in ("upfront", "per_1000")]
    took = [cell_of(line[name], FORMS[name]) for name in ("request_p50", "request_p95", "rows_per_second")]
    tokens = [cell_of(line[name], FORMS[name]) for name in ("tokens_in", "tokens_out")]
    back = f"<td class='n'>{line['earned_back'].shown()}</td>"
    return f"<tr><td>{escape(line['arm'].value)}</td>{''.join([*own, back, *took, *tokens])}</tr>"


WIDE, HIGH = 400, 280
"""Pixels of the picture within its margins: few enough that its names can be read on a phone."""
APART = 21
"""Pixels between two names, at least."""
STYLE = """
.bought { width: 100%; max-width: 32rem; } .bought text { font-size: 16px; } .bought .small { font-size: 14px; }
.bought .lead { stroke: currentColor; opacity: .35; }
"""


def bought(lines: Sequence[Recorded], metrics: Recorded, metric: str, currency: Recorded) -> Iterator[str]:
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
    across = [WIDE * (cost - first) / max(last - first, 1) for cost in costs]
    found = [metrics["arms"][line["arm"].value][metric] for line in known]
    heights = spread([HIGH * (1 - one["value"].value) for one in found])
    arms = "".join(map(dot, known, found, across, heights))
    ticks = "".join(tick(power, WIDE * (power - first) / max(last - first, 1)) for power in range(first, last + 1))
    levels = "".join(level(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    yield (
        f"<svg class='bought' viewBox='-44 -14 {WIDE + 64} {HIGH + 76}' role='img'>{levels}{ticks}{arms}"
        f"<text class='small mid' x='{WIDE / 2:g}' y='{HIGH + 54}'>1,000 requests, {escape(currency.value)}, "
        "logarithmic</text></svg>"
    )


def spread(heights: Sequence[float]) -> list[float]:
    """Move heights apart, so that what is written at them can be read: from the top down, then back from the bottom."""
    order, moved = sorted(range(len(heights)), key=heights.__getitem__), list(heights)
    for above, place in pairwise(order):
        moved[place] = max(moved[place], moved[above] + APART)
    moved[order[-1]] = min(moved[order[-1]], HIGH - 4)
    for place, above in pairwise(reversed(order)):
        moved[above] = min(moved[above], moved[place] - APART)
    return moved


def dot(line: Recorded, metric: Recorded, x: float, height: float) -> str:
    """Draw an arm: its interval, its point, and its name to the side where there is room."""
    value, low, high = (HIGH * (1 - metric[end].value) for end in ("value", "low", "high"))
    kind, name = "own" if line["arm"].value == TUNED else "arm", line["arm"]
    side, anchor = (-1, "end") if x > WIDE / 2 else (1, "")
    return (
        f"<g class='{kind}'><line class='range' x1='{x:.1f}' x2='{x:.1f}' y1='{low:.1f}' y2='{high:.1f}'/>"
        f"<line class='lead' x1='{x:.1f}' y1='{value:.1f}' x2='{x + 16 * side:.1f}' y2='{height:.1f}'/>"
        f"<circle class='dot' cx='{x:.1f}' cy='{value:.1f}' r='6'/>"
        f"<text class='name {anchor}' x='{x + 19 * side:.1f}' y='{height + 6:.1f}' {name.source}>{escape(name.value)}"
        "</text></g>"
    )


def tick(power: int, x: float) -> str:
    """Draw a power of ten with its number."""
    return (
        f"<line class='rule' x1='{x:.1f}' x2='{x:.1f}' y1='0' y2='{HIGH}'/>"
        f"<text class='axis small mid' x='{x:.1f}' y='{HIGH + 24}'>{10.0**power:g}</text>"
    )


def level(share: float) -> str:
    """Draw a level of the metric with its number."""
    y = HIGH * (1 - share)
    return (
        f"<line class='rule' x1='0' x2='{WIDE}' y1='{y:g}' y2='{y:g}'/>"
        f"<text class='axis small end' x='-8' y='{y + 5:g}'>{share:g}</text>"
    )
