"""Sections of the model card on the evidence: data, what was forgotten, cost, limits."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.arms import FINETUNED
from pipeline.html.render import escape_markdown
from pipeline.register.model_card import markdown_grid

FEW_LABEL_ROWS = 10
"""Test rows of a label below which its numbers say little."""

LISTED_CONFUSIONS = 10
"""Labels taken for others that are listed."""

CardFiles = Mapping[str, Any]
"""What the files hold, by their names below `data/`."""


def card_appendix(files: CardFiles) -> str:
    """Write these sections, each with the file that its numbers are from."""
    parts = (*data_section(files), *forgetting_section(files), *cost_section(files), *limitations_section(files))
    return "".join(f"\n{part}\n" for part in parts)


def section_heading(title: str, *names: str) -> str:
    """Write a heading, and below it where the numbers are from."""
    return f"## {title}\n\n*From {' and '.join(f'`data/{name}`' for name in names)}.*\n"


def data_section(files: CardFiles) -> Iterator[str]:
    """Tell what the checks found."""
    report = files["validate/report.json"]
    rows, splits, overlap = report["rows"], report["splits"], report["overlap"]
    yield (
        f"{section_heading('The data', 'validate/report.json')}\n"
        f"- {rows['in']:,} rows read, {rows['kept']:,} kept: {splits['train']:,} to train on, "
        f"{splits['validation']:,} to validate on, {splits['test']:,} held out.\n"
        f"- Of {overlap['test_rows']:,} held-out rows {overlap['equal']:,} equal and {overlap['near']:,} nearly equal "
        f"a row outside the test set; {overlap['clean']:,} have nothing like them in training."
    )


def forgetting_section(files: CardFiles) -> Iterator[str]:
    """Tell what the model forgot of its base, as far as it was measured."""
    lost = files["evaluate/forgetting.json"]
    texts, questions = lost["texts"], lost["questions"]
    lines = []
    if texts:
        lines.append(
            f"- Loss on {texts['n']} general texts, nats a token: {metric_with_interval(texts['before'])} before, "
            f"{metric_with_interval(texts['after'])} after; a rise of {metric_with_interval(texts['rise'], '+.3f')}."
        )
    if questions:
        change = {**questions["change"], "value": questions["change"]["difference"]}
        lines.append(
            f"- Right of {questions['n']} general questions: {metric_with_interval(questions['before'])} before, "
            f"{metric_with_interval(questions['after'])} after; a change of {metric_with_interval(change, '+.3f')}."
        )
    if lines:
        yield section_heading("What it forgot", "evaluate/forgetting.json") + "\n" + "\n".join(lines)


def cost_section(files: CardFiles) -> Iterator[str]:
    """Tell what each arm costs."""
    cost = files["register/cost.json"]
    currency, hour = cost["prices"]["currency"], cost["prices"]["machine_hour"]
    head = ("arm", f"to make, {currency}", "per 1,000 requests", "seconds a request, median", "fine-tuned earned back")
    lines = [
        (
            line["arm"],
            number_text(line["upfront"]),
            number_text(line["per_1000"]),
            number_text(line["request_p50"]),
            line["earned_back"],
        )
        for line in cost["lines"]
    ]
    yield (
        f"{section_heading('What it costs', 'register/cost.json')}\n{cost['text']}\n\n{markdown_grid(head, lines)}\n\n"
        f"An hour of this machine, kept busy, is counted as {currency} {hour:g}."
    )


def limitations_section(files: CardFiles) -> Iterator[str]:
    """Tell what the evidence says of where the model is not to be trusted."""
    details, worth = files["evaluate/details.json"][FINETUNED], files["register/release.json"]["worth"]
    lines = [*label_limits(details)]
    if worth["smallest"] is not None:
        least = f"{100 * worth['smallest']:.1f} points"
        lines.append(
            f"- A gain over the best baseline of less than {least} could not be relied on to show in so few rows."
        )
    if lines:
        yield section_heading("Limits", "evaluate/details.json", "register/release.json") + "\n" + "\n".join(lines)


def label_limits(details: Mapping[str, Any]) -> Iterator[str]:
    """Tell of labels with few test rows, and of those that are taken for others."""
    recalls = {label: metrics["recall"] for label, metrics in details.get("classes", {}).items() if "recall" in metrics}
    few = {label: recall["n"] for label, recall in recalls.items() if recall["n"] < FEW_LABEL_ROWS}
    if few:
        least = min(few.values())
        yield f"- {len(few)} of {len(recalls)} labels have fewer than {FEW_LABEL_ROWS} test rows, the least {least}."
    wrong = [
        (rows, wanted, predicted)
        for wanted, counts in details.get("confusion", {}).items()
        for predicted, rows in counts.items()
        if predicted != wanted and rows > 1
    ]
    for rows, wanted, predicted in sorted(wrong, key=lambda one: (-one[0], one[1], one[2]))[:LISTED_CONFUSIONS]:
        yield f"- {rows} rows of {escape_markdown(wanted)} were answered with {escape_markdown(predicted)}."


def metric_with_interval(metric: Mapping[str, Any], form: str = ".3f") -> str:
    """Write a number with its interval."""
    return f"{metric['value']:{form}} ({metric['low']:{form}} to {metric['high']:{form}})"


def number_text(value: float | None) -> str:
    """Write a number, a dash for one that is not known."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
