"""Laws of the charts that stand in a page."""

import pytest

from pipeline.html.render import template_environment
from pipeline.register.report.charts import SQUARE_SIZE, confusion_heatmap, forest_plot, reliability_points
from pipeline.register.report.page import REPORT_TEMPLATES
from pipeline.register.report.provenance import TracedValue
from tests.support.html_parser import Traced

CHARTS = template_environment(REPORT_TEMPLATES).get_template("charts.html.j2").module


def arms(**values: tuple[float, float, float]) -> dict[str, TracedValue]:
    """Metrics of arms: low, value, high."""
    told = {arm: dict(zip(("low", "value", "high"), three, strict=True)) for arm, three in values.items()}
    return {arm: TracedValue("m", told)[arm] for arm in told}


def by_class(read: Traced, name: str) -> list[dict[str, str]]:
    return [one.attributes for one in read.elements if name in one.attributes.get("class", "").split()]


def test_each_arm_is_a_point_within_its_interval() -> None:
    """Places are shares of the width, and the value beside it is traced."""
    read = Traced(CHARTS.forest(forest_plot(arms(tuned=(0.5, 0.625, 0.75), base=(0.0, 0.1, 0.2)), "tuned")))
    assert [(line["x1"], line["x2"]) for line in by_class(read, "range")] == [("50.00%", "75.00%"), ("0.00%", "20.00%")]
    assert [dot["cx"] for dot in by_class(read, "dot")] == ["62.50%", "10.00%"]
    assert read.shown == [("m#/tuned/value", "0.625"), ("m#/base/value", "0.100")]
    assert len(by_class(read, "own")) == 1


def test_an_interval_beyond_one_stays_on_the_chart() -> None:
    """The scale reaches as far as the furthest interval."""
    read = Traced(CHARTS.forest(forest_plot(arms(a=(1.0, 1.5, 2.0)), "a")))
    assert [(line["x1"], line["x2"]) for line in by_class(read, "range")] == [("50.00%", "100.00%")]


def test_the_name_of_an_arm_stays_text() -> None:
    """It is escaped."""
    read = Traced(CHARTS.forest(forest_plot({"<script>": arms(a=(0.0, 0.5, 1.0))["a"]}, "a")))
    assert "script" not in [one.tag for one in read.elements]
    assert "<script>" in read.words


def test_answers_of_a_model_that_is_right_as_often_as_it_is_sure_lie_on_the_diagonal() -> None:
    """Right goes upward from the lower edge, sure from the left one."""
    told = [{"probability": p, "right": {"value": p, "low": 0.0, "high": 1.0}} for p in (0.25, 0.5, 1.0)]
    dots = by_class(Traced(CHARTS.reliability(reliability_points(TracedValue("d", told)), SQUARE_SIZE)), "dot")
    assert [(float(dot["cx"]), float(dot["cy"])) for dot in dots] == [
        (SQUARE_SIZE * p, SQUARE_SIZE * (1 - p)) for p in (0.25, 0.5, 1)
    ]


def test_each_count_of_a_confusion_stands_in_its_cell_and_the_most_is_the_darkest() -> None:
    """Right ones in another colour than wrong ones; what was never said is an empty cell."""
    counts = TracedValue("d", {"a": {"a": 16, "b": 4}, "b": {"b": 1}})
    read = Traced(CHARTS.heatmap(confusion_heatmap(counts, ["a", "b"]), ["a", "b"]))
    assert read.shown == [("d#/a/a", "16"), ("d#/a/b", "4"), ("d#/b/b", "1")]
    styles = [one.attributes["style"] for one in read.elements if "style" in one.attributes]
    assert [style.split("srgb, ")[1] for style in styles] == [
        "var(--own) 70%, transparent)", "var(--wrong) 35%, transparent)", "var(--own) 18%, transparent)",
    ]  # fmt: skip
    assert len([one for one in read.elements if one.tag == "td"]) == 4


@pytest.mark.parametrize("many", [1, 12])
def test_a_chart_is_as_high_as_its_arms_need(many: int) -> None:
    """Every point lies inside, above the scale."""
    plot = forest_plot({f"arm {n}": arms(a=(0.1, 0.2, 0.3))["a"] for n in range(many)}, "arm 0")
    read = Traced(CHARTS.forest(plot))
    height = int(next(one.attributes["height"] for one in read.elements if one.tag == "svg"))
    heights = [int(dot["cy"]) for dot in by_class(read, "dot")]
    assert len(heights) == many
    assert max(heights) + 5 < height - 16
