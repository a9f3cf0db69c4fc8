"""What more training rows would bring: the learning curve, and the labels that want more of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.register.report.provenance import TracedValue, metric_cell
from pipeline.register.report.tables import number_table

CURVE_WIDTH, CURVE_HEIGHT = 400, 240
"""Pixels of the picture within its margins: few enough that its numbers can be read on a phone."""
CURVE_STYLE = """
.growth { width: 100%; max-width: 32rem; } .growth text { font-size: 16px; } .growth .small { font-size: 14px; }
.growth .band { fill: var(--own); opacity: .15; } .growth .law { fill: none; stroke: var(--own); stroke-width: 2; }
.growth .ahead { stroke-dasharray: 6 5; }
"""
CURVE_CAUTION = (
    "The band and the intervals are of the test rows alone. Another seed of the training would move the points too, "
    "by how much is not known."
)


def curve_report(curve: TracedValue | None, release: TracedValue) -> Iterator[str]:
    """Show a learning curve, if one was measured beside this very model; if beside another, say so.

    Args:
        curve: What `tunesmith learning-curve` wrote; None if nobody asked.
        release: The model of this page.
    """
    if curve is None:
        return
    yield "<h2>What more training rows would bring</h2>"
    if other := curve_mismatch(curve.value, release.value):
        yield f"<p>data/learning_curve is of {other}: <code>tunesmith learning-curve</code> measures anew.</p>"
        return
    yield f"<p>{curve['text'].shown()}</p>"
    yield curve_plot(curve)
    yield number_table(["training rows", curve["metric"].value], map(subset_row, curve["shares"]))
    yield f"<p><small>{CURVE_CAUTION}</small></p>"
    yield from label_gains(curve)


def curve_mismatch(curve: Mapping[str, Any], release: Mapping[str, Any]) -> str | None:
    """Say of what a curve is that this model's is not; None if it is this model's, by this metric on these rows."""
    digests = release["digests"]
    if curve["adapter"] != digests["adapter"]:
        return "another model"
    if curve["test"] != digests["test"]:
        return "other test rows"
    return "another metric" if curve["metric"] != release["worth"]["metric"] else None


def subset_row(share: TracedValue) -> str:
    """Render a share."""
    return f"<tr><td class='n'>{share['rows'].shown(',')}</td>{metric_cell(share)}</tr>"


def label_gains(curve: TracedValue) -> Iterator[str]:
    """Show what the last of the rows brought each label, the most first."""
    if not curve["labels"].value:
        return
    head = ["label", "training rows", "right before", "right now", "gain", "p, corrected"]
    yield "<p>What the last of the rows brought each label: with the share before, and with all of them.</p>"
    yield number_table(head, map(label_gain_row, curve["labels"]))


def label_gain_row(label: TracedValue) -> str:
    """Render a label."""
    mark = "good" if label["stands_out"].value else ""
    return (
        f"<tr><td>{label['label'].shown()}</td><td class='n'>{label['rows'].shown(',')}</td>{metric_cell(label['before'])}"  # noqa: E501
        f"{metric_cell(label['after'])}<td class='n {mark}'>{label['gain'].shown('+.3f')}</td>"
        f"<td class='n'>{label['p_corrected'].shown('.2g')}</td></tr>"
    )


def curve_plot(curve: TracedValue) -> str:
    """Draw the shares with their intervals over their rows (logarithmic), and the law with its band if there is one."""
    shares, line = list(curve["shares"]), list(curve["line"])
    scale = CurveScale(shares, line)
    points = "".join(subset_point(share, scale) for share in shares)
    ends = "".join(curve_level(at, scale) for at in (scale.low, (scale.low + scale.high) / 2, scale.high))
    return (
        f"<svg class='growth' viewBox='-52 -12 {CURVE_WIDTH + 76} {CURVE_HEIGHT + 70}' role='img'>{ends}"
        f"{law_band(line, shares[-1]['rows'].value, scale)}<g class='own'>{points}</g>"
        f"<text class='small mid' x='{CURVE_WIDTH / 2:g}' y='{CURVE_HEIGHT + 52}'>training rows, logarithmic</text></svg>"  # noqa: E501
    )


class CurveScale:
    """Where rows and metrics lie in the picture: rows by their logarithm, metrics from the lowest end to the highest.

    Args:
        shares: The measured points.
        line: Those of the law; none if nothing was fitted.
    """

    def __init__(self, shares: Sequence[TracedValue], line: Sequence[TracedValue]) -> None:
        rows = [point["rows"].value for point in (*shares, *line)]
        self.first, self.last = math.log(min(rows)), math.log(max(rows))
        self.low = math.floor(20 * min(point["low"].value for point in (*shares, *line))) / 20
        self.high = math.ceil(20 * max(point["high"].value for point in (*shares, *line))) / 20

    def x(self, rows: float) -> str:
        """Give the place of a number of rows."""
        return f"{CURVE_WIDTH * (math.log(rows) - self.first) / max(self.last - self.first, 1e-9):.1f}"

    def y(self, metric: float) -> str:
        """Give the height of a metric, from the top."""
        return f"{CURVE_HEIGHT * (self.high - metric) / max(self.high - self.low, 1e-9):.1f}"


def subset_point(share: TracedValue, scale: CurveScale) -> str:
    """Draw a share: its point, its interval, its rows below."""
    x, (value, low, high) = (
        scale.x(share["rows"].value),
        (scale.y(share[end].value) for end in ("value", "low", "high")),
    )
    return (
        f"<line class='range' x1='{x}' x2='{x}' y1='{low}' y2='{high}'/>"
        f"<circle class='dot' cx='{x}' cy='{value}' r='6'/>"
        f"<text class='small mid' x='{x}' y='{CURVE_HEIGHT + 24}' {share['rows'].source}>{share['rows'].value:,}</text>"
    )


def curve_level(at: float, scale: CurveScale) -> str:
    """Draw a line of the scale with its number."""
    y = scale.y(at)
    return (
        f"<line class='rule' x1='0' x2='{CURVE_WIDTH}' y1='{y}' y2='{y}'/>"
        f"<text class='axis small end' x='-8' y='{float(y) + 5:.1f}'>{at:.3g}</text>"
    )


def law_band(line: Sequence[TracedValue], rows: float, scale: CurveScale) -> str:
    """Draw the law and its band: through the measured shares, and dashed beyond the rows that there are."""
    if not line:
        return ""
    places = [(place["rows"].value, scale.x(place["rows"].value), place) for place in line]
    upper = " ".join(f"{x},{scale.y(place['high'].value)}" for _, x, place in places)
    lower = " ".join(f"{x},{scale.y(place['low'].value)}" for _, x, place in reversed(places))
    known = [f"{x},{scale.y(place['value'].value)}" for n, x, place in places if n <= rows]
    ahead = known[-1:] + [f"{x},{scale.y(place['value'].value)}" for n, x, place in places if n > rows]
    return (
        f"<polygon class='band' points='{upper} {lower}'/><polyline class='law' points='{' '.join(known)}'/>"
        f"<polyline class='law ahead' points='{' '.join(ahead)}'/>"
    )
