"""What more training rows would bring: layout for templates/learning_curve.html.j2."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.register.report.cost import ScaleMark
from pipeline.register.report.provenance import TracedValue

CURVE_WIDTH, CURVE_HEIGHT = 400, 240
"""Pixels of the plot within its margins: few enough that its numbers can be read on a phone."""


def curve_mismatch(curve: Mapping[str, Any], release: Mapping[str, Any]) -> str | None:
    """Say of what a curve is that this model's is not; None if it is this model's, by this metric on these rows."""
    digests = release["digests"]
    if curve["adapter"] != digests["adapter"]:
        return "another model"
    if curve["test"] != digests["test"]:
        return "other test rows"
    return "another metric" if curve["metric"] != release["worth"]["metric"] else None


class PlottedShare(NamedTuple):
    """A share of the training rows in the plot, in pixels."""

    rows: TracedValue
    x: float
    low: float
    value: float
    high: float


class CurveLaw(NamedTuple):
    """The fitted law as points of SVG: its band, the line through the measured shares, and the line beyond them."""

    band: str
    measured: str
    ahead: str


class CurvePlot(NamedTuple):
    """The metric over the number of training rows, on a logarithmic scale; no law if none fits."""

    points: list[PlottedShare]
    law: CurveLaw | None
    levels: list[ScaleMark]
    width: int = CURVE_WIDTH
    height: int = CURVE_HEIGHT


def curve_plot(curve: TracedValue) -> CurvePlot:
    """Lay out the shares with their intervals, and the law with its band if there is one."""
    shares, line = list(curve["shares"]), list(curve["line"])
    scale = CurveScale(shares, line)
    points = [
        PlottedShare(
            share["rows"],
            scale.x(share["rows"].value),
            *(scale.y(share[end].value) for end in ("low", "value", "high")),
        )
        for share in shares
    ]
    levels = (scale.low, (scale.low + scale.high) / 2, scale.high)
    return CurvePlot(
        points,
        law_lines(line, shares[-1]["rows"].value, scale) if line else None,
        [ScaleMark(f"{level:.3g}", scale.y(level)) for level in levels],
    )


class CurveScale:
    """Where rows and metrics lie in the plot: rows by their logarithm, metrics from the lowest end to the highest.

    Args:
        shares: The measured points.
        line: Those of the law; none if nothing was fitted.
    """

    def __init__(self, shares: Sequence[TracedValue], line: Sequence[TracedValue]) -> None:
        rows = [point["rows"].value for point in (*shares, *line)]
        self.first, self.last = math.log(min(rows)), math.log(max(rows))
        self.low = math.floor(20 * min(point["low"].value for point in (*shares, *line))) / 20
        self.high = math.ceil(20 * max(point["high"].value for point in (*shares, *line))) / 20

    def x(self, rows: float) -> float:
        """Give the place of a number of rows, from the left."""
        return CURVE_WIDTH * (math.log(rows) - self.first) / max(self.last - self.first, 1e-9)

    def y(self, metric: float) -> float:
        """Give the height of a metric, from the top."""
        height: float = CURVE_HEIGHT * (self.high - metric) / max(self.high - self.low, 1e-9)
        return height

    def svg_points(self, points: Sequence[TracedValue], end: str) -> str:
        """Write points of a polyline: a value or an end of its interval, over the rows."""
        return " ".join(f"{self.x(point['rows'].value):.1f},{self.y(point[end].value):.1f}" for point in points)


def law_lines(line: Sequence[TracedValue], rows: float, scale: CurveScale) -> CurveLaw:
    """Lay out the law: through the measured shares, and onward from them beyond the rows that there are."""
    measured = [point for point in line if point["rows"].value <= rows]
    beyond = [point for point in line if point["rows"].value > rows]
    return CurveLaw(
        f"{scale.svg_points(line, 'high')} {scale.svg_points(line[::-1], 'low')}",
        scale.svg_points(measured, "value"),
        scale.svg_points([*measured[-1:], *beyond], "value"),
    )
