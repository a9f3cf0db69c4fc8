"""Which rows and labels the report shows, and in which order."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from pipeline.arms import FINETUNED
from pipeline.register.report.charts import HeatmapRow, confusion_heatmap
from pipeline.register.report.provenance import TracedValue

LISTED_CONFUSED_LABELS = 20
"""Labels taken for others that are listed."""
MAX_HEATMAP_LABELS = 24
"""Labels of which a confusion matrix can still be read."""
LISTED_DISAGREEMENTS = 20
"""Rows that one arm alone has right, each way."""
MAX_TEXT_CHARS = 600
"""Characters of a text that are shown."""


def ranked_arms(metrics: TracedValue, metric: str) -> dict[str, TracedValue]:
    """Give the metric of every arm, the best arm first; of equal ones the fine-tuned one."""
    arms = sorted(metrics["arms"], key=lambda arm: (-arm[metric]["value"].value, arm.key != FINETUNED))
    return {arm.key: arm[metric] for arm in arms}


def ranked_labels(details: TracedValue) -> list[str]:
    """Give the labels in the order of their F1 by the fine-tuned model, the worst first."""
    labels = sorted(details[FINETUNED]["classes"], key=lambda label: (label["f1"]["value"].value, label.key))
    return [label.key for label in labels]


class ConfusedLabels(NamedTuple):
    """Labels that were taken for others: expected, predicted, and how often; a heatmap if it can be read."""

    pairs: list[tuple[str, str, TracedValue]]
    predicted: list[str]
    heatmap: list[HeatmapRow] | None


def confused_labels(confusion: TracedValue) -> ConfusedLabels:
    """Choose which confusions are shown: the most frequent, most first."""
    pairs = [(row.key, count.key, count) for row in confusion for count in row if count.key != row.key]
    pairs.sort(key=lambda pair: (-pair[2].value, pair[0], pair[1]))
    predicted = sorted({*confusion.value, *(count.key for row in confusion for count in row)})
    readable = len(predicted) <= MAX_HEATMAP_LABELS
    return ConfusedLabels(
        pairs[:LISTED_CONFUSED_LABELS], predicted, confusion_heatmap(confusion, predicted) if readable else None
    )


class Disagreements(NamedTuple):
    """Rows on which the fine-tuned model does better than a baseline, or worse; whether there are more of them."""

    word: str
    rows: list[TracedValue]
    more: bool


def disagreements(predictions: TracedValue, metric: str, baseline: str) -> Iterator[Disagreements]:
    """Choose rows to show, both ways: those where the two are furthest apart first."""
    gains = [(row[f"{FINETUNED} {metric}"].value - row[f"{baseline} {metric}"].value, row) for row in predictions]
    for word, sign in (("better", 1), ("worse", -1)):
        ranked = sorted(
            ((sign * gain, row) for gain, row in gains if sign * gain > 0), key=lambda gained: -gained[0]
        )  # fmt: skip
        rows = [row for _, row in ranked]
        yield Disagreements(word, rows[:LISTED_DISAGREEMENTS], len(rows) > LISTED_DISAGREEMENTS)


def first_rows(rows: TracedValue) -> list[TracedValue]:
    """Take as many rows of a file as a list shows."""
    return list(islice(rows, LISTED_DISAGREEMENTS))
