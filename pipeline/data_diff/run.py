"""What changed between two sets of pairs, in rows, labels and drift, and what it calls for.

Reads two files of pairs and writes one of JSON. Asked for by `tunesmith diff` and by the flow; belongs to no stage.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.arrays import Bools, Ints
from pipeline.data_diff.matching import Matching, PairKeys, match_pairs, read_pair_keys, read_pairs_at
from pipeline.data_diff.recommendation import DataChange, recommend
from pipeline.files import rank_counts, write_json
from pipeline.params import Params, load_params
from pipeline.validate.columns import TEST, prompt_texts
from pipeline.validate.drift_measure import length_histogram, measure_drift
from pipeline.validate.splits import assign_splits

EXAMPLES_PER_KIND = 20
"""Of each kind, the first ones."""
EXAMPLE_CHARS = 400
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class ChangedRow:
    """A row that changed, before and after; None on the side where it is not."""

    kind: str
    source: str
    row: int
    prompt_before: str | None
    prompt_after: str | None
    completion_before: str | None
    completion_after: str | None


def diff_pairs(old: Path, new: Path, params: Params) -> dict[str, Any]:
    """Compare two files of pairs and decide by the rules in params.

    Returns:
        `rows` before and after, the `change` in numbers (see DataChange), the `decision` with its reasons, `examples`.
    """
    labels, validate = params.prompt.task == "labels", params.validate
    before, after = (read_pair_keys(path, validate.salt, labels=labels) for path in (old, new))
    sides = assign_splits(before, validate), assign_splits(after, validate)
    matching = exclude_moved_splits(match_pairs(before, after, (old, new), validate.near_duplicate_similarity), sides)
    change = DataChange(
        before=len(before),
        **count_changes(matching, sides),
        new_labels=rank_counts({label: rows for label, rows in after.labels.items() if label not in before.labels}),
        vanished_labels=rank_counts(
            {label: rows for label, rows in before.labels.items() if label not in after.labels}
        ),
        drift=distribution_shift(before, after),
    )
    return {
        "rows": {"before": len(before), "after": len(after), "unchanged": len(matching.both["unchanged"][0])},
        "change": asdict(change),
        "decision": asdict(recommend(change, params.retrain)),
        "examples": [asdict(example) for example in change_examples(matching, old, new)],
    }


def exclude_moved_splits(matching: Matching, sides: tuple[Ints, Ints]) -> Matching:
    """Take out of the unchanged pairs those that are on another side of the split than before."""
    old, new = matching.both["unchanged"]
    stays = sides[0][old] == sides[1][new]
    both = matching.both | {"unchanged": (old[stays], new[stays]), "moved": (old[~stays], new[~stays])}
    return Matching(both, matching.removed, matching.added)


def count_changes(matching: Matching, sides: tuple[Ints, Ints]) -> dict[str, dict[str, int]]:
    """Count what changed of each kind, apart where training or validation sees it and in the test set alone."""
    seen = {
        "added": sides[1][matching.added] != TEST,
        "removed": sides[0][matching.removed] != TEST,
        **{
            kind: (sides[0][old] != TEST) | (sides[1][new] != TEST)
            for kind, (old, new) in matching.both.items()
            if kind != "unchanged"
        },
    }
    return {"learnt": totals_by_kind(seen, np.sum), "tested": totals_by_kind(seen, lambda flags: np.sum(~flags))}


def totals_by_kind(seen: Mapping[str, Bools], count: Callable[[Bools], Any]) -> dict[str, int]:
    """Count something of each kind."""
    return {kind: int(count(flags)) for kind, flags in seen.items()}


def distribution_shift(before: PairKeys, after: PairKeys) -> dict[str, float]:
    """Say how far the mix of labels and the lengths of prompts drifted, measured as validate does."""
    counted = {
        "labels": (before.labels, after.labels),
        "prompt lengths": (length_histogram(before.chars), length_histogram(after.chars)),
    }
    return {what: round(measure_drift(what, *both).drift, 4) for what, both in counted.items() if all(both)}


def change_examples(matching: Matching, old: Path, new: Path) -> Iterator[ChangedRow]:
    """Show the first rows of each kind of change."""
    nothing = np.zeros(0, np.int64)
    kinds = {
        **{kind: both for kind, both in matching.both.items() if kind != "unchanged"},
        "removed": (matching.removed, nothing),
        "added": (nothing, matching.added),
    }
    shown = {kind: (was[:EXAMPLES_PER_KIND], became[:EXAMPLES_PER_KIND]) for kind, (was, became) in kinds.items()}
    before = rows_by_position(old, [was for was, _ in shown.values()])
    after = rows_by_position(new, [became for _, became in shown.values()])
    for kind, (was, became) in shown.items():
        for at in range(max(len(was), len(became))):
            yield changed_row(kind, before[was[at]] if len(was) else {}, after[became[at]] if len(became) else {})


def rows_by_position(path: Path, indices: list[Ints]) -> dict[int, dict[str, Any]]:
    """Read the rows at some places, by their place."""
    wanted = np.unique(np.concatenate(indices))
    rows = [
        {"prompt": prompt, "completion": row["completion"], "source": row["source"], "row": row["row"]}
        for batch in read_pairs_at(path, wanted)
        for prompt, row in zip(prompt_texts(batch).to_pylist(), batch.to_pylist(), strict=True)
    ]
    return dict(zip(wanted.tolist(), rows, strict=True))


def changed_row(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> ChangedRow:
    """Put a row that was before, or is after, or both, into an example."""
    there = after or before
    texts = [
        side[name][:EXAMPLE_CHARS] if side else None for name in ("prompt", "completion") for side in (before, after)
    ]
    return ChangedRow(kind, there["source"], there["row"], *texts)


def main(old: Path, new: Path, out: Path) -> None:
    """Compare two files of pairs by the params of the current project."""
    write_json(out, diff_pairs(old, new, load_params(Path("params.yaml"))))
