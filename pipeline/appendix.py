"""What a model card tells beside the release: the data, what was forgotten, what it costs, and where its limits lie."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.card import grid, safe

FEW_ROWS = 10
"""Test rows of a label below which its numbers say little."""
SHOWN = 10
"""Labels taken for others that are listed."""
Files = Mapping[str, Any]
"""What the files hold, by their names below `data/`."""


def appendix(files: Files) -> str:
    """Write these sections, each with the file that its numbers are from."""
    parts = (*data_part(files), *forgetting_part(files), *cost_part(files), *limits_part(files))
    return "".join(f"\n{part}\n" for part in parts)


def heading(title: str, *names: str) -> str:
    """Write a heading, and below it where the numbers are from."""
    return f"## {title}\n\n*From {' and '.join(f'`data/{name}`' for name in names)}.*\n"


def data_part(files: Files) -> Iterator[str]:
    """Tell what the checks found."""
    report = files["validate/report.json"]
    rows, splits, overlap = report["rows"], report["splits"], report["overlap"]
    yield (
        f"{heading('The data', 'validate/report.json')}\n"
        f"- {rows['in']:,} rows read, {rows['kept']:,} kept: {splits['train']:,} to train on, "
        f"{splits['validation']:,} to validate on, {splits['test']:,} held out.\n"
        f"- Of {overlap['test_rows']:,} held-out rows {overlap['equal']:,} equal and {overlap['near']:,} nearly equal "
        f"a row outside the test set; {overlap['clean']:,} have nothing like them in training."
    )


def forgetting_part(files: Files) -> Iterator[str]:
    """Tell what the model forgot of its base, as far as it was measured."""
    lost = files["evaluate/forgetting.json"]
    texts, questions = lost["texts"], lost["questions"]
    lines = []
    if texts:
        lines.append(
            f"- Loss on {texts['n']} general texts, nats a token: {ranged(texts['before'])} before, "
            f"{ranged(texts['after'])} after; a rise of {ranged(texts['rise'], '+.3f')}."
        )
    if questions:
        change = {**questions["change"], "value": questions["change"]["difference"]}
        lines.append(
            f"- Right of {questions['n']} general questions: {ranged(questions['before'])} before, "
            f"{ranged(questions['after'])} after; a change of {ranged(change, '+.3f')}."
        )
    if lines:
        yield heading("What it forgot", "evaluate/forgetting.json") + "\n" + "\n".join(lines)


def cost_part(files: Files) -> Iterator[str]:
    """Tell what each arm costs."""
    cost = files["register/cost.json"]
    currency, hour = cost["prices"]["currency"], cost["prices"]["machine_hour"]
    head = ("arm", f"to make, {currency}", "per 1,000 requests", "seconds a request, median", "fine-tuned earned back")
    lines = [
        (
            line["arm"],
            number(line["upfront"]),
            number(line["per_1000"]),
            number(line["request_p50"]),
            line["earned_back"],
        )
        for line in cost["lines"]
    ]
    yield (
        f"{heading('What it costs', 'register/cost.json')}\n{cost['text']}\n\n{grid(head, lines)}\n\n"
        f"An hour of this machine, kept busy, is counted as {currency} {hour:g}."
    )


def limits_part(files: Files) -> Iterator[str]:
    """Tell what the evidence says of where the model is not to be trusted."""
    details, worth = files["evaluate/details.json"]["fine-tuned"], files["register/release.json"]["worth"]
    lines = [*label_limits(details)]
    if worth["smallest"] is not None:
        least = f"{100 * worth['smallest']:.1f} points"
        lines.append(
            f"- A gain over the best rival of less than {least} could not be relied on to show in so few rows."
        )
    if lines:
        yield heading("Limits", "evaluate/details.json", "register/release.json") + "\n" + "\n".join(lines)


def label_limits(details: Mapping[str, Any]) -> Iterator[str]:
    """Tell of labels with few test rows, and of those that are taken for others."""
    recalls = {label: found["recall"] for label, found in details.get("classes", {}).items() if "recall" in found}
    few = {label: recall["n"] for label, recall in recalls.items() if recall["n"] < FEW_ROWS}
    if few:
        least = min(few.values())
        yield f"- {len(few)} of {len(recalls)} labels have fewer than {FEW_ROWS} test rows, the least {least}."
    wrong = [
        (rows, wanted, said)
        for wanted, counts in details.get("confusion", {}).items()
        for said, rows in counts.items()
        if said != wanted and rows > 1
    ]
    for rows, wanted, said in sorted(wrong, key=lambda one: (-one[0], one[1], one[2]))[:SHOWN]:
        yield f"- {rows} rows of {safe(wanted)} were answered with {safe(said)}."


def ranged(metric: Mapping[str, Any], form: str = ".3f") -> str:
    """Write a number with its interval."""
    return f"{metric['value']:{form}} ({metric['low']:{form}} to {metric['high']:{form}})"


def number(value: float | None) -> str:
    """Write a number, a dash for one that is not known."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
