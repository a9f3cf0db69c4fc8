"""Charts in HTML and SVG that stretch with the page: the numbers on them are traced, the same give the same bytes."""

from collections.abc import Mapping, Sequence
from html import escape

from pipeline.register.report.provenance import TracedValue

ARM_HEIGHT = 42
"""Pixels that an arm takes in height."""
SQUARE_SIZE = 300
"""Pixels of a square chart, each way."""
CHART_STYLE = """
svg { display: block; overflow: visible; font: 13px system-ui, sans-serif; fill: currentColor; }
svg .rule { stroke: var(--line); }
svg .range { stroke: var(--baseline); stroke-width: 6; stroke-linecap: round; opacity: .45; }
svg .dot { fill: var(--baseline); } svg .own .dot { fill: var(--own); } svg .own .range { stroke: var(--own); }
svg .own .name { font-weight: 700; } svg .small { font-size: 11px; opacity: .75; } svg .end { text-anchor: end; }
.forest { margin-bottom: 1.2rem; }
svg .mid { text-anchor: middle; } .square { width: 100%; max-width: 24rem; padding: 0 0 .5rem; }
.heat td { text-align: center; padding: .2rem .3rem; border: 1px solid var(--line); min-width: 1.3rem; }
.heat th { vertical-align: bottom; padding: .2rem .5rem .2rem 0; }
.heat th { font-weight: 400; font-size: .8rem; white-space: nowrap; }
.heat .turned { writing-mode: vertical-rl; transform: rotate(180deg); padding: .4rem .1rem; }
.heat table { width: auto; }
"""


def forest_plot(arms: Mapping[str, TracedValue], own: str) -> str:
    """Draw the metric of each arm as a point in its interval, on one scale that begins at 0 and has 1 on it.

    Args:
        arms: By name; each has `value`, `low` and `high`.
        own: The arm that is set off from the others.
    """
    most = max(1.0, *(arm["high"].value for arm in arms.values()))
    height = ARM_HEIGHT * len(arms) + 18
    ticks = "".join(axis_tick(place, most, height) for place in (0.0, 0.25, 0.5, 0.75, 1.0))
    lines = "".join(
        f"<g class='{'own' if name == own else 'arm'}'>{interval_row(name, metric, most, ARM_HEIGHT * place)}</g>"
        for place, (name, metric) in enumerate(arms.items())
    )
    return f"<svg class='forest' width='100%' height='{height}' role='img'>{ticks}{lines}</svg>"


def axis_tick(place: float, most: float, height: int) -> str:
    """Draw a line of the scale with its number."""
    x = f"{100 * place / most:.2f}%"
    anchor = "end" if place == most else "mid" if place else ""
    return (
        f"<line class='rule' x1='{x}' x2='{x}' y1='0' y2='{height - 16}'/>"
        f"<text class='axis small {anchor}' x='{x}' y='{height - 2}'>{place:g}</text>"
    )


def interval_row(name: str, metric: TracedValue, most: float, y: int) -> str:
    """Draw an arm: its name and value above, the point in its interval below."""
    value, low, high = (f"{100 * metric[part].value / most:.2f}%" for part in ("value", "low", "high"))
    return (
        f"<text class='name' x='2' y='{y + 15}'>{escape(name)}</text>"
        f"<text class='end' x='100%' y='{y + 15}' {metric['value'].source}>{metric['value'].value:.3f}</text>"
        f"<line class='range' x1='{low}' x2='{high}' y1='{y + 28}' y2='{y + 28}'/>"
        f"<circle class='dot' cx='{value}' cy='{y + 28}' r='5'/>"
    )


def reliability_diagram(tenths: TracedValue) -> str:
    """Draw, of answers of which a model was as sure, how many were right with the interval: at best a diagonal."""
    dots = "".join(
        f"<line class='range' x1='{x:.1f}' x2='{x:.1f}' y1='{share_height(right['low']):.1f}' y2='{share_height(right['high']):.1f}'/>"  # noqa: E501
        f"<circle class='dot' cx='{x:.1f}' cy='{share_height(right['value']):.1f}' r='5'/>"
        for x, right in ((SQUARE_SIZE * tenth["probability"].value, tenth["right"]) for tenth in tenths)
    )
    ends = "".join(
        f"<text class='axis small {'end' if end else ''}' x='{SQUARE_SIZE * end}' y='{SQUARE_SIZE + 16}'>{end}</text>"
        f"<text class='axis small end' x='-6' y='{SQUARE_SIZE * (1 - end) + 10 * end}'>{end}</text>"
        for end in (0, 1)
    )
    return (
        f"<svg class='square' viewBox='-24 -8 {SQUARE_SIZE + 36} {SQUARE_SIZE + 44}' role='img'>"
        f"<rect class='rule' width='{SQUARE_SIZE}' height='{SQUARE_SIZE}' fill='none'/>"
        f"<line class='rule' x1='0' y1='{SQUARE_SIZE}' x2='{SQUARE_SIZE}' y2='0'/><g class='own'>{dots}</g>{ends}"
        f"<text class='small mid' x='{SQUARE_SIZE / 2:g}' y='{SQUARE_SIZE + 32}'>how sure it was</text>"
        f"<text class='small mid' transform='translate(-10 {SQUARE_SIZE / 2:g}) rotate(-90)'>how many were right</text></svg>"  # noqa: E501
    )


def share_height(value: TracedValue) -> float:
    """Give the height of a share in a square chart, in pixels from its top."""
    return SQUARE_SIZE * (1 - float(value.value))


def confusion_heatmap(counts: TracedValue, said: Sequence[str]) -> str:
    """Draw how often each expected label (a row) was answered with which (columns); the darker the oftener."""
    most = max(count.value for row in counts for count in row)
    head = "".join(f"<th><span class='turned'>{escape(label)}</span></th>" for label in said)
    rows = "".join(
        f"<tr><th>{escape(row.key)}</th>{''.join(heatmap_cell(row, label, most) for label in said)}</tr>"
        for row in counts
    )
    return f"<div class='wide heat'><table><tr><th></th>{head}</tr>{rows}</table></div>"


def heatmap_cell(row: TracedValue, label: str, most: int) -> str:
    """Draw a count, none as an empty cell; the root of its share is how dark it is, so that single rows are seen."""
    colour = "--own" if row.key == label else "--wrong"
    if label not in row:
        return "<td></td>"
    share = round(70 * float(row[label].value / most) ** 0.5)
    return f"<td style='background: color-mix(in srgb, var({colour}) {share}%, transparent)'>{row[label].shown()}</td>"
