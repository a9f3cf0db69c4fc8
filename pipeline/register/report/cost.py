"""What each arm costs, in money, seconds and tokens, and what quality that buys: layout for templates/cost.html.j2."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pipeline.arms import FINETUNED
from pipeline.register.report.charts import QUARTERS
from pipeline.register.report.provenance import TracedValue

PLOT_WIDTH, PLOT_HEIGHT = 400, 280
"""Pixels of the plot within its margins: few enough that its names can be read on a phone."""
NAME_GAP = 21
"""Pixels between two names, at least."""


def amount_format(amount: TracedValue) -> str:
    """Give the format of an amount: from a hundred on in whole units, never as a power of ten."""
    return ",.0f" if amount.value is not None and amount.value >= 100 else ",.3g"


class ScaleMark(NamedTuple):
    """A level of the vertical scale: its number, and pixels from the top."""

    label: str
    y: float


class CostTick(NamedTuple):
    """A power of ten on the horizontal scale: its number, and pixels from the left."""

    label: str
    x: str


class CostPoint(NamedTuple):
    """An arm in the plot, in pixels; its name stands to the right of its point (side 1) or to the left (-1)."""

    name: TracedValue
    own: bool
    x: float
    low: float
    value: float
    high: float
    name_y: float
    side: int


class QualityCostPlot(NamedTuple):
    """The metric of each arm over what 1,000 requests cost, on a logarithmic scale."""

    arms: list[CostPoint]
    ticks: list[CostTick]
    levels: list[ScaleMark]
    currency: str
    width: int = PLOT_WIDTH
    height: int = PLOT_HEIGHT


QUALITY_LEVELS = [ScaleMark(f"{share:g}", PLOT_HEIGHT * (1 - share)) for share in QUARTERS]


def quality_cost_plot(cost: TracedValue, metrics: TracedValue, metric: str) -> QualityCostPlot | None:
    """Lay out the arms whose cost is known, by the metric that decides; None if those are fewer than two."""
    lines = [line for line in cost["lines"] if line["per_1000"].value]
    if len(lines) < 2:
        return None
    powers = [math.log10(line["per_1000"].value) for line in lines]
    first, last = math.floor(min(powers)), math.ceil(max(powers))
    scale = PLOT_WIDTH / max(last - first, 1)
    measured = [metrics["arms"][line["arm"].value][metric] for line in lines]
    names = separate_names([metric_height(value["value"]) for value in measured])
    return QualityCostPlot(
        [cost_point(*arm) for arm in zip(lines, measured, ((p - first) * scale for p in powers), names, strict=True)],
        [CostTick(f"{10.0**power:g}", f"{scale * (power - first):.1f}") for power in range(first, last + 1)],
        QUALITY_LEVELS,
        cost["prices"]["currency"].value,
    )


def metric_height(share: TracedValue) -> float:
    """Give the height of a share, in pixels from the top."""
    return PLOT_HEIGHT * (1 - float(share.value))


def cost_point(line: TracedValue, metric: TracedValue, x: float, name_y: float) -> CostPoint:
    """Lay out an arm: its name goes to the side where there is room."""
    low, value, high = (metric_height(metric[end]) for end in ("low", "value", "high"))
    own, side = line["arm"].value == FINETUNED, -1 if x > PLOT_WIDTH / 2 else 1
    return CostPoint(line["arm"], own, x, low, value, high, name_y, side)


def separate_names(heights: Sequence[float]) -> list[float]:
    """Move heights apart, so that what is written at them can be read: from the top down, then back from the bottom."""
    order, moved = sorted(range(len(heights)), key=heights.__getitem__), list(heights)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + NAME_GAP)
    moved[order[-1]] = min(moved[order[-1]], PLOT_HEIGHT - 4)
    for below, above in pairwise(reversed(order)):
        moved[above] = min(moved[above], moved[below] - NAME_GAP)
    return moved
