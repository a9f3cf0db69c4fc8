"""Tables of numbers, as all parts of the page show them."""

from collections.abc import Iterable, Iterator
from html import escape

from pipeline.arms import FINETUNED
from pipeline.html.elements import html_table
from pipeline.register.report import charts
from pipeline.register.report.provenance import TracedValue, metric_cell


def number_table(head: list[str], rows: Iterable[str]) -> str:
    """Render a table of numbers, right-aligned."""
    return f"<div class='numbers'>{html_table(head, rows)}</div>"


def number_cell(number: TracedValue, form: str) -> str:
    """Render a number; a dash for one that nobody told, as a hosted model need not tell its tokens."""
    return f"<td class='n'>{'-' if number.value is None else number.shown(form)}</td>"


def fields_report(details: TracedValue, baseline: str | None) -> Iterator[str]:
    """Tell of each field of JSON how often it is right, by the fine-tuned model and the best baseline."""
    if "fields" not in details[FINETUNED]:
        return
    arms = [FINETUNED] if baseline is None else [FINETUNED, baseline]
    rows = (
        f"<tr><td><code>{escape(field.key)}</code></td>"
        + "".join(
            metric_cell(details[arm]["fields"][field.key])
            if field.key in details[arm]["fields"]
            else "<td class='n'>-</td>"
            for arm in arms
        )
        + "</tr>"
        for field in details[FINETUNED]["fields"]
    )
    yield "<h2>Each field</h2>"
    yield number_table(["field", *arms], rows)


LISTED_CONFUSED_LABELS = 20
"""Labels taken for others that are listed."""
MAX_HEATMAP_LABELS = 24
"""More make no picture of which is taken for which that can be read."""


def labels_report(details: TracedValue, baseline: str | None) -> Iterator[str]:
    """Tell of each label how well the fine-tuned model and the best baseline know it, the worst first."""
    if "classes" not in details[FINETUNED]:
        return
    arms = [FINETUNED] if baseline is None else [FINETUNED, baseline]
    head = ["label", *(f"{arm}: {measure}" for arm in arms for measure in ("recall", "precision", "F1"))]
    labels = sorted(details[FINETUNED]["classes"], key=lambda label: (label["f1"]["value"].value, label.key))
    yield "<h2>Each label</h2>"
    yield number_table(
        head, (label_metrics_row(label.key, [details[arm]["classes"] for arm in arms]) for label in labels)
    )


def label_metrics_row(label: str, arms: list[TracedValue]) -> str:
    """Render a label in some arms; a dash for what is of no row."""
    measures = [
        metric_cell(arm[label][name]) if label in arm and name in arm[label] else "<td class='n'>-</td>"
        for arm in arms
        for name in ("recall", "precision", "f1")
    ]
    return f"<tr><td>{escape(label)}</td>{''.join(measures)}</tr>"


def confusion_report(told: TracedValue) -> Iterator[str]:
    """Tell which labels the fine-tuned model takes for which, the commonest first, and draw it if it can be read."""
    if "confusion" not in told:
        return
    counts = told["confusion"]
    wrong = [(row.key, count) for row in counts for count in row if count.key != row.key]
    wrong.sort(key=lambda pair: (-pair[1].value, pair[0], pair[1].key))
    yield "<h2>Labels taken for others by the fine-tuned model</h2>"
    if not wrong:
        yield "<p>None.</p>"
    else:
        rows = (
            f"<tr><td class='n'>{count.shown(',')}</td><td>{escape(wanted)}</td><td>{escape(count.key)}</td></tr>"
            for wanted, count in wrong[:LISTED_CONFUSED_LABELS]
        )
        yield html_table(["rows", "expected", "said"], rows)
    said = sorted({*counts.value, *(count.key for row in counts for count in row)})
    if len(said) <= MAX_HEATMAP_LABELS:
        yield "<p>Expected in rows, said in columns.</p>" + charts.confusion_heatmap(counts, said)


def metric_rows(metrics: TracedValue) -> Iterator[str]:
    """Render every measure of every arm."""
    for arm in metrics["arms"]:
        for measure in arm:
            yield f"<tr><td>{escape(arm.key)}</td><td class='n'>{escape(measure.key)}</td>{metric_cell(measure)}</tr>"
