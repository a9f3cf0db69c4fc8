"""What each pair is to the others: copies, conflicts, overlaps between the splits, labels and how they are spelt."""

import numpy as np
import numpy.typing as npt

from pipeline.columns import DRAWN, TEST, TRAIN, VALIDATION, Columns, Hashes, Numbers
from pipeline.near import Near
from pipeline.params import Validate

Flags = npt.NDArray[np.bool_]


def sides_of(columns: Columns, validate: Validate) -> Numbers:
    """Say on which side of the split each pair is, as a number of SPLITS.

    By the hash of its prompt, so that it stays there whatever rows come or go, and rows with one prompt stay together.
    Where a source names its side, that holds; where one is the test set, no other row is drawn into it.
    """
    share = 0.0 if test_given(columns) else validate.test_share
    held_out = np.where(columns.points < share + validate.validation_share, VALIDATION, TRAIN)
    drawn = np.where(columns.points < share, TEST, held_out)
    return np.where(columns.given == DRAWN, drawn, columns.given)


def test_given(columns: Columns) -> bool:
    """Say whether a source is the test set."""
    return bool((columns.given == TEST).any())


def neighbour_columns(columns: Columns, near: Near, sides: Numbers) -> dict[str, Numbers]:
    """Compute what hangs on other pairs."""
    answers = columns.completions
    return {
        "copy": copies(columns.ids, sides),
        "in_test": ((sides != TEST) & np.isin(columns.prompts, columns.prompts[sides == TEST])).astype(np.int64),
        "in_validation": (
            (sides == TRAIN) & np.isin(columns.prompts, columns.prompts[sides == VALIDATION])
        ).astype(np.int64),
        "answers": different(columns.prompts, answers),
        **across(columns, near, sides),
        **within(columns, near, sides),
    }  # fmt: skip


def copies(ids: Hashes, sides: Numbers) -> Numbers:
    """Count, for each place, the copies of its pair before it; test comes first, then validation, then training."""
    places = np.arange(len(ids))
    order = np.lexsort((places, -sides, ids))
    opens = np.concatenate([[True], ids[order][1:] != ids[order][:-1]]) if len(ids) else np.zeros(0, bool)
    found = np.zeros(len(ids), np.int64)
    found[order] = places - np.maximum.accumulate(np.where(opens, places, 0))
    return found


def different(keys: Hashes, values: Numbers) -> Numbers:
    """Count, for each place, how many different values its key has."""
    _, at = np.unique(keys, return_inverse=True)
    pairs = np.unique(np.stack([at, values]), axis=1)
    found: Numbers = np.bincount(pairs[0], minlength=1)[at]
    return found


def both_ways(near: Near) -> tuple[Numbers, Numbers]:
    """Give each pair of near-duplicates from both ends: who, and near whom."""
    return np.concatenate([near.first, near.second]), np.concatenate([near.second, near.first])


def across(columns: Columns, near: Near, sides: Numbers) -> dict[str, Numbers]:
    """Count near-duplicates of each pair on a side that must not know it: test, or for training also validation."""
    who, whom = both_ways(near)
    crosses = (sides[whom] == TEST) & (sides[who] != TEST) | (sides[whom] == VALIDATION) & (sides[who] == TRAIN)
    of_given = crosses & (columns.given[whom] != DRAWN)
    return {
        "near_test": np.bincount(who[of_given], minlength=len(columns)),
        "near_drawn": np.bincount(who[crosses & ~of_given], minlength=len(columns)),
    }


def within(columns: Columns, near: Near, sides: Numbers) -> dict[str, Numbers]:
    """Count near-duplicates of each pair that come before it on its side with its answer, and all with another one."""
    who, whom = both_ways(near)
    alike = columns.completions[who] == columns.completions[whom]
    before = alike & (whom < who) & (sides[who] == sides[whom]) & (columns.ids[who] != columns.ids[whom])
    return {
        "near_copies": np.bincount(who[before], minlength=len(columns)),
        "near_conflicts": np.bincount(who[~alike], minlength=len(columns)),
    }


def label_columns(columns: Columns, sides: Numbers, validate: Validate, *, labels: bool) -> dict[str, Numbers]:
    """Compute what hangs on the labels; where completions are free texts, all is well."""
    rows, number = len(columns), len(columns.answers)
    if not labels:
        good = {"label_unknown": 0, "label_spelling": 0, "label_rows": np.iinfo(np.int64).max, "label_percent": 0}
        return {name: np.full(rows, value, np.int64) for name, value in good.items()}
    declared = set(validate.labels or columns.answers)
    trained = np.bincount(columns.completions[sides == TRAIN], minlength=number)
    percent = np.ceil(100 * trained / max(trained.sum(), 1)).astype(np.int64)
    unknown = np.array([answer not in declared for answer in columns.answers], np.int64)
    return {
        "label_unknown": unknown[columns.completions],
        "label_spelling": misspelt(columns.answers, np.bincount(columns.completions, minlength=number))[
            columns.completions
        ],
        "label_rows": trained[columns.completions],
        "label_percent": percent[columns.completions],
    }


def misspelt(answers: list[str], rows: Numbers) -> Numbers:
    """Say of each label whether more rows, or as many with a label that sorts first, spell it otherwise."""
    best: dict[str, int] = {}
    keys = [" ".join(answer.casefold().split()) for answer in answers]
    for place in sorted(range(len(answers)), key=lambda place: (-rows[place], answers[place])):
        best.setdefault(keys[place], place)
    return np.array([best[key] != place for place, key in enumerate(keys)], np.int64)
