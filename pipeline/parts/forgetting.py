"""What the fine-tuned model forgot: general texts and questions, before and after."""

from collections.abc import Iterator

from pipeline.parts.table import numbers
from pipeline.recorded import Recorded, interval, triple


def forgetting_part(lost: Recorded) -> Iterator[str]:
    """Show the loss on general texts and the answers to general questions; nothing where there are neither."""
    texts, questions = lost["texts"], lost["questions"]
    rows = []
    if texts.value:
        what = f"loss on {texts['n'].shown()} texts, nats a token"
        rows.append(row(what, texts, texts["rise"], texts["rise"]["value"]))
    if questions.value:
        what = f"right of {questions['n'].shown()} questions"
        rows.append(row(what, questions, questions["change"], questions["change"]["difference"]))
    if rows:
        yield "<h2>What the fine-tuned model forgot</h2>"
        yield "<p>General texts and questions, by the base model and by the fine-tuned one.</p>"
        yield numbers(["", "base", "fine-tuned", "change"], rows)


def row(what: str, found: Recorded, change: Recorded, value: Recorded) -> str:
    """Render a measure before and after, and its change."""
    return (
        f"<tr><td>{what}</td>{triple(found['before'])}{triple(found['after'])}"
        f"<td class='n'>{value.shown('+.3f')}<br><small>{interval(change, '+.3f')}</small></td></tr>"
    )
