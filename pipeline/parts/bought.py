"""The picture of quality against cost: each arm's metric over what a thousand requests cost, on a logarithmic scale."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from pipeline.recorded import Recorded
from pipeline.standing import TUNED

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
