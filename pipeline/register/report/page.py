"""The page of a run: whether it was worth it, by which numbers, where the arms differ; one file, each number traced."""

from collections.abc import Mapping
from typing import Any

from pipeline.arms import FINETUNED
from pipeline.artifacts import LEARNING_CURVE
from pipeline.html import elements
from pipeline.register.model_card import VERDICT_WORDS
from pipeline.register.report import charts, cost, learning_curve
from pipeline.register.report.cost import cost_report
from pipeline.register.report.leaderboard import leaderboard_report
from pipeline.register.report.learning_curve import curve_report
from pipeline.register.report.provenance import TracedValue
from pipeline.register.report.sections import (
    calibration_report,
    disagreements_report,
    forgetting_report,
    gate_report,
    label_errors_report,
)
from pipeline.register.report.tables import confusion_report, fields_report, labels_report, metric_rows, number_table

REPORT_STYLE = """
:root { --own: #2b6cb0; --baseline: #68857a; --wrong: #cf222e; }
@media (prefers-color-scheme: dark) {
  :root { --own: #63a4e8; --baseline: #9ab8ac; --wrong: #ff7b72; --good: #3fb950; --bad: #ff7b72; --warn: #d29922; }
}
.verdict { font-size: 1.1rem; border-left: .3rem solid var(--own); padding: .2rem 0 .2rem 1rem; }
small { opacity: .75; } td small { white-space: nowrap; font-size: .72rem; }
.numbers td:first-child, .numbers th:first-child, .heat th:first-child {
  position: sticky; left: 0; background: Canvas; }
.text { min-width: 6rem; overflow-wrap: break-word; } .text:first-child { min-width: 14rem; }
.numbers .text { text-align: left; } td.n { white-space: nowrap; } td, th { padding-right: .8rem; }
@media (max-width: 600px) { body { margin: 1rem auto; } h1 { font-size: 1.35rem; } .verdict { font-size: 1rem; } }
"""
ReportFiles = Mapping[str, Any]
"""What the files hold, by their names below `data/`; predictions as rows by their ids."""


def report_page(files: ReportFiles) -> str:
    """Render a run as one self-contained HTML page; the same files give the same bytes."""
    recorded = {name: TracedValue(name, value) for name, value in files.items()}
    release, metrics = recorded["register/release.json"], recorded["evaluate/metrics.json"]
    details, baseline = recorded["evaluate/details.json"], best_baseline(release["worth"].value)
    parts = [
        elements.page_start(
            release["name"].value,
            elements.PAGE_STYLE + charts.CHART_STYLE + cost.SCATTER_STYLE + learning_curve.CURVE_STYLE + REPORT_STYLE,
        ),
        f"<h1>{release['name'].shown()}</h1>",
        f"<p class='verdict'>{release['worth']['text'].shown()} {recorded['register/cost.json']['text'].shown()}</p>",
        f"<h2>The gate: {VERDICT_WORDS[release['verdict'].value]}</h2>",
        *gate_report(release),
        "<h2>Against what does without fine-tuning</h2>",
        *leaderboard_report(release["worth"], metrics),
        *labels_report(details, baseline),
        *confusion_report(details[FINETUNED]),
        *calibration_report(details[FINETUNED]),
        *fields_report(details, baseline),
        *disagreements_report(recorded["evaluate/predictions.parquet"], release["worth"]["metric"].value, baseline),
        *forgetting_report(recorded["evaluate/forgetting.json"]),
        *curve_report(recorded.get(LEARNING_CURVE), release),
        *label_errors_report(recorded["baselines/label_errors.parquet"]),
        *cost_report(recorded["register/cost.json"], metrics, release["worth"]["metric"].value),
        "<h2>All that was measured</h2>",
        number_table(["arm", "measure", "value, 95 % interval, n"], metric_rows(metrics)),
    ]
    return "\n".join(parts) + "\n"


def best_baseline(worth: Mapping[str, Any]) -> str | None:
    """Give the baseline of the verdict: the one to use instead, else the one with the most of the metric."""
    others = (line["arm"] for line in worth["table"] if line["arm"] != FINETUNED)
    baseline: str | None = worth["baseline"] or next(others, None)
    return baseline
