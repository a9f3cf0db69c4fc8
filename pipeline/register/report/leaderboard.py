"""Every arm on the metric that decides, and what the fine-tuned model has more than each."""

from collections.abc import Iterator

from pipeline.arms import FINETUNED
from pipeline.register.report import charts
from pipeline.register.report.provenance import TracedValue, interval_text, metric_cell
from pipeline.register.report.tables import number_table


def leaderboard_report(worth: TracedValue, metrics: TracedValue) -> Iterator[str]:
    """Draw every arm, the best first, and tell what the fine-tuned model has more than each baseline."""
    metric = worth["metric"].value
    arms = sorted(metrics["arms"], key=lambda arm: (-arm[metric]["value"].value, arm.key != FINETUNED))
    yield (
        f"<p>{worth['metric'].shown()} on {metrics['n'].shown(',')} held-out rows; "
        "the bars are 95 % intervals.</p>"
    )  # fmt: skip
    yield charts.forest_plot({arm.key: arm[metric] for arm in arms}, FINETUNED)
    head = ["arm", metric, "fine-tuned has more", "p, corrected", "it is"]
    yield number_table(head, map(leaderboard_row, worth["table"]))


def leaderboard_row(line: TracedValue) -> str:
    """Render a line of the table of the verdict."""
    own = f"<tr><td>{line['arm'].shown()}</td>{metric_cell(line)}"
    if line["difference"].value is None:
        return f"{own}<td></td><td></td><td></td></tr>"
    between = interval_text(line, "+.3f", low="difference_low", high="difference_high")
    return (
        f"{own}<td class='n'>{line['difference'].shown('+.3f')}<br><small>{between}</small></td>"
        f"<td class='n'>{line['p_value'].shown('.2g')}</td><td class='n'>{line['word'].shown()}</td></tr>"
    )
