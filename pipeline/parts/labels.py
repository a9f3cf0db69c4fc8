"""Each label: how well it is known, and for which others it is taken."""

from collections.abc import Iterator
from html import escape

from pipeline import charts
from pipeline.page import table
from pipeline.parts.table import numbers
from pipeline.recorded import Recorded, triple
from pipeline.standing import TUNED

SHOWN = 20
"""Labels taken for others that are listed."""
MOST_LABELS = 24
"""More make no picture of which is taken for which that can be read."""


def class_part(details: Recorded, rival: str | None) -> Iterator[str]:
    """Tell of each label how well the fine-tuned model and the best rival know it, the worst first."""
    if "classes" not in details[TUNED]:
        return
    arms = [TUNED] if rival is None else [TUNED, rival]
    head = ["label", *(f"{arm}: {measure}" for arm in arms for measure in ("recall", "precision", "F1"))]
    labels = sorted(details[TUNED]["classes"], key=lambda label: (label["f1"]["value"].value, label.key))
    yield "<h2>Each label</h2>"
    yield numbers(head, (class_row(label.key, [details[arm]["classes"] for arm in arms]) for label in labels))


def class_row(label: str, arms: list[Recorded]) -> str:
    """Render a label in some arms; a dash for what is of no row."""
    measures = [
        triple(arm[label][name]) if label in arm and name in arm[label] else "<td class='n'>-</td>"
        for arm in arms
        for name in ("recall", "precision", "f1")
    ]
    return f"<tr><td>{escape(label)}</td>{''.join(measures)}</tr>"


def confusion_part(told: Recorded) -> Iterator[str]:
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
            for wanted, count in wrong[:SHOWN]
        )
        yield table(["rows", "expected", "said"], rows)
    said = sorted({*counts.value, *(count.key for row in counts for count in row)})
    if len(said) <= MOST_LABELS:
        yield "<p>Expected in rows, said in columns.</p>" + charts.heat(counts, said)
