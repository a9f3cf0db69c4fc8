"""The page of a run: whether it was worth it, by which numbers, where the arms differ; one file, each number traced."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.arms import FINETUNED
from pipeline.artifacts import LEARNING_CURVE
from pipeline.html.render import render_template
from pipeline.register.report.charts import SQUARE_SIZE, forest_plot, reliability_points
from pipeline.register.report.cost import amount_format, quality_cost_plot
from pipeline.register.report.learning_curve import curve_mismatch, curve_plot
from pipeline.register.report.provenance import TracedValue
from pipeline.register.report.sections import (
    MAX_TEXT_CHARS,
    confused_labels,
    disagreements,
    first_rows,
    ranked_arms,
    ranked_labels,
)
from pipeline.verdicts import VERDICT_WORDS

REPORT_TEMPLATES = Path(__file__).parent / "templates"
LAYOUT: dict[str, Any] = {
    function.__name__: function
    for function in (
        amount_format, confused_labels, curve_mismatch, curve_plot, disagreements, first_rows, forest_plot,
        quality_cost_plot, ranked_arms, ranked_labels, reliability_points,
    )
} | {"SQUARE_SIZE": SQUARE_SIZE, "MAX_TEXT_CHARS": MAX_TEXT_CHARS, "VERDICT_WORDS": VERDICT_WORDS}  # fmt: skip
"""What the templates call to choose rows and to lay out charts."""
ReportFiles = Mapping[str, Any]
"""What the files hold, by their names below `data/`; predictions as rows by their ids."""


def report_page(files: ReportFiles) -> str:
    """Render a run as one self-contained HTML page; the same files give the same bytes."""
    recorded = {name: TracedValue(name, value) for name, value in files.items()}
    release = recorded["register/release.json"]
    return render_template(
        REPORT_TEMPLATES,
        "report.html.j2",
        release=release,
        metrics=recorded["evaluate/metrics.json"],
        details=recorded["evaluate/details.json"],
        predictions=recorded["evaluate/predictions.parquet"],
        forgetting=recorded["evaluate/forgetting.json"],
        label_errors=recorded["baselines/label_errors.parquet"],
        cost=recorded["register/cost.json"],
        curve=recorded.get(LEARNING_CURVE),
        metric=release["worth"]["metric"].value,
        own=FINETUNED,
        baseline=best_baseline(release["worth"].value),
        **LAYOUT,
    )


def best_baseline(worth: Mapping[str, Any]) -> str | None:
    """Give the baseline of the verdict: the one to use instead, else the one with the most of the metric."""
    others = (line["arm"] for line in worth["table"] if line["arm"] != FINETUNED)
    baseline: str | None = worth["baseline"] or next(others, None)
    return baseline
