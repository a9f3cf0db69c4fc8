"""Where things lie in the charts of the report: templates/charts.html.j2 draws them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.register.report.provenance import TracedValue

ARM_HEIGHT = 42
"""Pixels that an arm takes in height."""
AXIS_HEIGHT = 18
"""Pixels of the scale below the arms."""
SQUARE_SIZE = 300
"""Pixels of a square chart, each way."""
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Levels of a share at which a scale has a line."""


class AxisTick(NamedTuple):
    """A line of the horizontal scale: its number, where it stands, and by which end its number is aligned."""

    label: str
    x: str
    anchor: str


class ForestRow(NamedTuple):
    """An arm of a forest plot: x as shares of the width, y in pixels."""

    name: str
    metric: TracedValue
    own: bool
    y: int
    low: str
    value: str
    high: str


class ForestPlot(NamedTuple):
    """The metric of each arm as a point in its interval, on one scale that begins at 0 and has 1 on it."""

    height: int
    ticks: list[AxisTick]
    rows: list[ForestRow]


def forest_plot(arms: Mapping[str, TracedValue], own: str) -> ForestPlot:
    """Lay out a forest plot.

    Args:
        arms: By name; each has `value`, `low` and `high`.
        own: The arm that is set off from the others.
    """
    scale_end = max(1.0, *(metric["high"].value for metric in arms.values()))
    rows = [
        ForestRow(
            name, metric, name == own, ARM_HEIGHT * index,
            *(f"{100 * metric[part].value / scale_end:.2f}%" for part in ("low", "value", "high")),
        )
        for index, (name, metric) in enumerate(arms.items())
    ]  # fmt: skip
    ticks = [
        AxisTick(f"{level:g}", f"{100 * level / scale_end:.2f}%", "end" if level == scale_end else "mid" * (level > 0))
        for level in QUARTERS
    ]
    return ForestPlot(ARM_HEIGHT * len(arms) + AXIS_HEIGHT, ticks, rows)


class ReliabilityPoint(NamedTuple):
    """Predictions of about one probability: x is that, y how many were right, in pixels from the top left."""

    x: float
    low: float
    value: float
    high: float


def reliability_points(bins: TracedValue) -> list[ReliabilityPoint]:
    """Lay out a reliability diagram: of a model that is right as often as it is sure, all lie on the diagonal."""
    return [
        ReliabilityPoint(
            SQUARE_SIZE * one["probability"].value,
            *(SQUARE_SIZE * (1 - float(one["right"][end].value)) for end in ("low", "value", "high")),
        )
        for one in bins
    ]


class HeatmapCell(NamedTuple):
    """A count of a confusion matrix, None for no row; how strongly it is coloured, in per cent."""

    rows: TracedValue | None
    right: bool
    strength: int


class HeatmapRow(NamedTuple):
    """An expected label, and how often it was answered with each."""

    label: str
    cells: list[HeatmapCell]


def confusion_heatmap(confusion: TracedValue, predicted: Sequence[str]) -> list[HeatmapRow]:
    """Lay out a confusion matrix: expected labels in rows, predicted ones in columns.

    The root of a count's share of the largest is how dark it is, so that single rows are seen.
    """
    largest = max(count.value for counts in confusion for count in counts)

    def cell(counts: TracedValue, label: str) -> HeatmapCell:
        if label not in counts:
            return HeatmapCell(None, False, 0)
        strength = round(70 * float(counts[label].value / largest) ** 0.5)
        return HeatmapCell(counts[label], counts.key == label, strength)

    return [HeatmapRow(counts.key, [cell(counts, label) for label in predicted]) for counts in confusion]
