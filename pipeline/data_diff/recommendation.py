"""What a change of the pairs calls for, by the rules in params: skip, evaluate, retrain, or ask a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.params import Retrain

Action = Literal["skip", "evaluate", "retrain", "ask"]


@dataclass(frozen=True)
class DataChange:
    """How much changed, in numbers.

    Args:
        before: Rows of before.
        learnt: Rows that training or validation sees and that changed, by what became of them.
        tested: Rows of the test set alone that changed, likewise.
        new_labels: Labels that no row had before, each with its rows.
        vanished_labels: Labels that no row has any more, each with the rows that it had.
        drift: How far labels and lengths moved, by name, from 0 to 1.
    """

    before: int
    learnt: Mapping[str, int]
    tested: Mapping[str, int]
    new_labels: Mapping[str, int]
    vanished_labels: Mapping[str, int]
    drift: Mapping[str, float]

    def rows(self, kind: str) -> int:
        """Rows of one kind, wherever they are."""
        return self.learnt.get(kind, 0) + self.tested.get(kind, 0)


@dataclass(frozen=True)
class Recommendation:
    """What to do, and why."""

    outcome: Action
    reasons: tuple[str, ...]


def recommend(change: DataChange, rules: Retrain) -> Recommendation:
    """Decide by the rules: what a person must look at comes first, then what must be learnt, then what is tested.

    `skip`: nothing that counts changed. `evaluate`: what is learnt is as good as the same, the champion is to be
    tested anew. `retrain`: there is something to learn. `ask`: so much changed that it may be a mistake.
    """
    ignored = {"spelling"} if rules.spelling == "skip" else set()
    learnt = {kind: rows for kind, rows in change.learnt.items() if rows and kind not in ignored}
    tested = {kind: rows for kind, rows in change.tested.items() if rows and kind not in ignored}
    if doubts := (*exceeded_limits(change, rules), *label_changes(change, rules, "ask")):
        return Recommendation("ask", doubts)
    needs = tuple(label_changes(change, rules, "retrain"))
    if sum(learnt.values()) >= rules.min_changed_rows:
        needs = (f"{count_phrase(learnt)} of the rows that training sees; {rules.min_changed_rows} are enough", *needs)
    if needs:
        return Recommendation("retrain", needs)
    if learnt:
        return Recommendation(
            "evaluate",
            (f"only {count_phrase(learnt)} of the rows that training sees; fewer than {rules.min_changed_rows}",),
        )
    if tested:
        return Recommendation("evaluate", (f"{count_phrase(tested)}, all in the test set",))
    if spelt := change.rows("spelling"):
        return Recommendation("skip", (f"{spelt} rows differ by blanks or case alone",))
    return Recommendation("skip", ("the pairs are the same",))


def exceeded_limits(change: DataChange, rules: Retrain) -> Iterator[str]:
    """Say which limits the change exceeds."""
    limits = {"relabelled": rules.max_relabelled_share, "removed": rules.max_removed_share}
    for kind, limit in limits.items():
        share = change.rows(kind) / change.before
        if share > limit:
            yield f"{change.rows(kind)} of {change.before} rows {kind} ({share:.0%}); more than {limit:.0%}"
    for name, moved in change.drift.items():
        if moved > rules.max_drift:
            yield f"{name} drifted by {moved:.2f}; more than {rules.max_drift}"


def label_changes(change: DataChange, rules: Retrain, outcome: str) -> Iterator[str]:
    """Say which labels came or went, where the rule for it asks for this outcome."""
    for word, labels, wanted in (
        ("new", change.new_labels, rules.new_labels),
        ("vanished", change.vanished_labels, rules.vanished_labels),
    ):
        if labels and wanted == outcome:
            yield f"{word} labels: {', '.join(f'{label} ({rows} rows)' for label, rows in labels.items())}"


def count_phrase(kinds: Mapping[str, int]) -> str:
    """Put numbers of rows into words."""
    return ", ".join(f"{rows} {kind}" for kind, rows in kinds.items())
