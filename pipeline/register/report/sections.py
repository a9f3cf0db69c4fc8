"""What the gate looked at."""

from collections.abc import Iterator
from html import escape
from itertools import islice

from pipeline.arms import FINETUNED
from pipeline.html.elements import html_table
from pipeline.register.report import charts
from pipeline.register.report.provenance import TracedValue, interval_text, metric_cell
from pipeline.register.report.tables import number_table


def gate_report(release: TracedValue) -> Iterator[str]:
    """Say what the gate looked at, what failed first; where it had nothing to look at, why."""
    if not release["checks"].value:
        yield from (f"<p>{reason.shown()}</p>" for reason in release["reasons"])
        return
    yield html_table(
        ["", "check"], map(gate_row, sorted(release["checks"], key=lambda check: bool(check["passed"].value)))
    )


def gate_row(check: TracedValue) -> str:
    """Render a check."""
    kind, mark = ("good", "passed") if check["passed"].value else ("bad", "failed")
    return f"<tr><td class='{kind}'>{mark}</td><td class='text'>{check['text'].shown()}</td></tr>"


LISTED_DISAGREEMENTS = 20
"""Rows that one arm alone has right, each way."""
MAX_TEXT_CHARS = 600
"""Characters of a text that are shown."""


def disagreements_report(rows: TracedValue, metric: str, baseline: str | None) -> Iterator[str]:
    """Show rows where the fine-tuned model does better than the best baseline, and worse; the furthest apart first."""
    if baseline is None:
        return
    gains = [(row[f"{FINETUNED} {metric}"].value - row[f"{baseline} {metric}"].value, row) for row in rows]
    for title, sign in (("better", 1), ("worse", -1)):
        found = sorted((one for one in gains if sign * one[0] > 0), key=lambda one: -sign * one[0])
        yield f"<h2>Rows on which the fine-tuned model is {title} than {escape(baseline)}</h2>"
        if not found:
            yield "<p>None.</p>"
            continue
        if len(found) > LISTED_DISAGREEMENTS:
            yield "<p>Not all of them, the furthest apart first; all are in evaluate/predictions.parquet.</p>"
        yield html_table(
            ["asked", "expected", FINETUNED, baseline],
            (disagreement_row(row, baseline) for _, row in islice(found, LISTED_DISAGREEMENTS)),
        )


def disagreement_row(row: TracedValue, baseline: str) -> str:
    """Render a row with the answers of both."""
    return f"<tr>{''.join(text_cell(row[name]) for name in ('prompt', 'expected', FINETUNED, baseline))}</tr>"


def text_cell(text: TracedValue) -> str:
    """Render a text, cut off if it is long."""
    cut = "…" if len(text.value) > MAX_TEXT_CHARS else ""
    return f"<td class='text' {text.source}>{escape(text.value[:MAX_TEXT_CHARS])}{cut}</td>"


def forgetting_report(lost: TracedValue) -> Iterator[str]:
    """Show the loss on general texts and the answers to general questions; nothing where there are neither."""
    texts, questions = lost["texts"], lost["questions"]
    rows = []
    if texts.value:
        what = f"loss on {texts['n'].shown()} texts, nats a token"
        rows.append(forgetting_row(what, texts, texts["rise"], texts["rise"]["value"]))
    if questions.value:
        what = f"right of {questions['n'].shown()} questions"
        rows.append(forgetting_row(what, questions, questions["change"], questions["change"]["difference"]))
    if rows:
        yield "<h2>What the fine-tuned model forgot</h2>"
        yield "<p>General texts and questions, by the base model and by the fine-tuned one.</p>"
        yield number_table(["", "base", "fine-tuned", "change"], rows)


def forgetting_row(what: str, found: TracedValue, change: TracedValue, value: TracedValue) -> str:
    """Render a measure before and after, and its change."""
    return (
        f"<tr><td>{what}</td>{metric_cell(found['before'])}{metric_cell(found['after'])}"
        f"<td class='n'>{value.shown('+.3f')}<br><small>{interval_text(change, '+.3f')}</small></td></tr>"
    )


def calibration_report(told: TracedValue) -> Iterator[str]:
    """Show how far the fine-tuned model is to be believed when it is sure."""
    if "reliability" not in told or not told["reliability"].value:
        return
    rows = (
        f"<tr><td>{tenth['from'].shown('.1f')} to {tenth['to'].shown('.1f')}</td>"
        f"<td class='n'>{tenth['probability'].shown('.3f')}</td>{metric_cell(tenth['right'])}</tr>"
        for tenth in told["reliability"]
    )
    yield "<h2>How sure the fine-tuned model was, and how many of these were right</h2>"
    yield charts.reliability_diagram(told["reliability"])
    yield number_table(["sure", "on average", "right"], rows)


def label_errors_report(rows: TracedValue) -> Iterator[str]:
    """List the rows that classifiers of the other rows agree against, the surest first; nothing if there are none."""
    if not rows.value:
        return
    yield "<h2>Training labels that may be wrong</h2>"
    yield (
        "<p>Classifiers that did not learn from these rows agree on another label. They are listed for people to look "
        "at, the surest first; nothing is changed by it. All are in baselines/label_errors.parquet.</p>"
    )
    yield html_table(["asked", "label", "rather", "sure"], map(label_error_row, islice(rows, LISTED_DISAGREEMENTS)))


def label_error_row(row: TracedValue) -> str:
    """Render a row."""
    return (
        f"<tr><td class='text'>{row['prompt'].shown()}</td><td>{row['label'].shown()}</td>"
        f"<td>{row['suggested'].shown()}</td><td class='n'>{row['probability'].shown('.2f')}</td></tr>"
    )
