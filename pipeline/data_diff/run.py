"""What changed between two sets of pairs, in rows, labels and drift, and what it calls for.

Reads two files of pairs and writes one of JSON. Asked for by `tunesmith diff` and by the flow; belongs to no stage.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data_diff.matching import Matching, Rows, match, read_rows, rows_at
from pipeline.data_diff.recommendation import Change, decide
from pipeline.files import ranked, write_json
from pipeline.params import Params, load_params
from pipeline.validate.columns import TEST, Numbers, prompts_of
from pipeline.validate.splits import sides_of

EXAMPLES = 20
"""Of each kind, the first ones."""
CUT = 400
"""Characters of a text that are shown."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """A row that changed, before and after; None on the side where it is not."""

    kind: str
    source: str
    row: int
    prompt_before: str | None
    prompt_after: str | None
    completion_before: str | None
    completion_after: str | None


def difference(old: Path, new: Path, params: Params) -> dict[str, Any]:
    """Compare two files of pairs and decide by the rules in params.

    Returns:
        `rows` before and after, the `change` in numbers (see Change), the `decision` with its reasons, and `examples`.
    """
    labels, validate = params.prompt.task == "labels", params.validate
    before, after = (read_rows(path, validate.salt, labels=labels) for path in (old, new))
    sides = sides_of(before, validate), sides_of(after, validate)
    matching = moved_apart(match(before, after, (old, new), validate.near_duplicate_similarity), sides)
    change = Change(
        before=len(before),
        **rows_of(matching, sides),
        new_labels=ranked({label: rows for label, rows in after.labels.items() if label not in before.labels}),
        vanished_labels=ranked({label: rows for label, rows in before.labels.items() if label not in after.labels}),
        drift=drift(before, after),
    )
    return {
        "rows": {"before": len(before), "after": len(after), "unchanged": len(matching.both["unchanged"][0])},
        "change": asdict(change),
        "decision": asdict(decide(change, params.retrain)),
        "examples": [asdict(example) for example in examples(matching, old, new)],
    }


def moved_apart(matching: Matching, sides: tuple[Numbers, Numbers]) -> Matching:
    """Take out of the unchanged pairs those that are on another side of the split than before."""
    old, new = matching.both["unchanged"]
    stays = sides[0][old] == sides[1][new]
    both = matching.both | {"unchanged": (old[stays], new[stays]), "moved": (old[~stays], new[~stays])}
    return Matching(both, matching.removed, matching.added)


def rows_of(matching: Matching, sides: tuple[Numbers, Numbers]) -> dict[str, dict[str, int]]:
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
    return {"learnt": totals(seen, np.sum), "tested": totals(seen, lambda flags: np.sum(~flags))}


def totals(seen: Mapping[str, Flags], count: Callable[[Flags], Any]) -> dict[str, int]:
    """Count something of each kind."""
    return {kind: int(count(flags)) for kind, flags in seen.items()}


def drift(before: Rows, after: Rows) -> dict[str, float]:
    """Say how far the mix of labels and the lengths of prompts moved, each from 0 (not at all) to 1."""
    lengths = {"lengths": round(largest_gap(before.chars, after.chars), 4)}
    return {"labels": round(total_variation(before.labels, after.labels), 4), **lengths} if before.labels else lengths


def total_variation(before: Counter[str], after: Counter[str]) -> float:
    """Give the share of rows that would need another label to make one mix the other (total variation distance)."""
    rows = before.total(), after.total()
    return sum(abs(before[label] / rows[0] - after[label] / rows[1]) for label in before | after) / 2


def largest_gap(before: Numbers, after: Numbers) -> float:
    """Give the largest difference between the shares of rows below any one number (Kolmogorov and Smirnov)."""
    numbers = np.unique(np.concatenate([before, after]))
    below = [np.searchsorted(np.sort(values), numbers, side="right") / len(values) for values in (before, after)]
    return float(np.abs(below[0] - below[1]).max())


def examples(matching: Matching, old: Path, new: Path) -> Iterator[Example]:
    """Show the first rows of each kind of change."""
    nothing = np.zeros(0, np.int64)
    kinds = {
        **{kind: both for kind, both in matching.both.items() if kind != "unchanged"},
        "removed": (matching.removed, nothing),
        "added": (nothing, matching.added),
    }
    shown = {kind: (was[:EXAMPLES], became[:EXAMPLES]) for kind, (was, became) in kinds.items()}
    before = rows_shown(old, [was for was, _ in shown.values()])
    after = rows_shown(new, [became for _, became in shown.values()])
    for kind, (was, became) in shown.items():
        for at in range(max(len(was), len(became))):
            yield example(kind, before[was[at]] if len(was) else {}, after[became[at]] if len(became) else {})


def rows_shown(path: Path, places: list[Numbers]) -> dict[int, dict[str, Any]]:
    """Read the rows at some places, by their place."""
    wanted = np.unique(np.concatenate(places))
    found = [
        {"prompt": prompt, "completion": row["completion"], "source": row["source"], "row": row["row"]}
        for batch in rows_at(path, wanted)
        for prompt, row in zip(prompts_of(batch).to_pylist(), batch.to_pylist(), strict=True)
    ]
    return dict(zip(wanted.tolist(), found, strict=True))


def example(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Example:
    """Put a row that was before, or is after, or both, into an example."""
    there = after or before
    texts = [side[name][:CUT] if side else None for name in ("prompt", "completion") for side in (before, after)]
    return Example(kind, there["source"], there["row"], *texts)


def main(old: Path, new: Path, out: Path) -> None:
    """Compare two files of pairs by the params of the current project."""
    write_json(out, difference(old, new, load_params(Path("params.yaml"))))
