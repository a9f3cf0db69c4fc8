"""Duplicates: copies, conflicting completions and overlaps between the splits, labels and how they are spelt.

Prompts that are the same apart from case, whitespace and punctuation are one prompt here, and near-duplicates are pairs
of prompts; so a thousand copies of a row cost no more than one.
"""

from collections.abc import Collection

import numpy as np

from pipeline.arrays import Bools, Ints, UInts
from pipeline.dedup.minhash import NearDuplicates
from pipeline.validate.columns import TEST, TRAIN, UNASSIGNED, VALIDATION, PairColumns


def neighbour_columns(
    columns: PairColumns, near: NearDuplicates, sides: Ints, living: Bools, aside: Collection[str]
) -> dict[str, Ints]:
    """Compute what hangs on other pairs, of those that are left when it is asked.

    First what must not be with the test set, then with validation, then with its own side: what one step sets aside is
    no neighbour in the next.

    Args:
        columns: The pairs.
        near: Near-duplicates among their prompts.
        sides: Where each pair is.
        living: The pairs that are not set aside for themselves.
        aside: The columns whose pairs are set aside.
    """
    columns_found = {"copy": count_copies(columns.ids, sides, living)}
    left = remaining_rows(living, columns_found, aside)
    tested = near_held_out(columns, near, sides != TEST, left & (sides == TEST), "in_test")
    left = remaining_rows(left, tested, aside)
    validated = near_held_out(columns, near, sides == TRAIN, left & (sides == VALIDATION), "in_validation")
    left = remaining_rows(left, validated, aside)
    across = {name: tested[name] | validated[name] for name in ("near_test", "near_heldout")}
    return {
        **columns_found, **tested, **validated, **across, **conflicting_completions(columns, near, left),
        "near_copies": near_duplicate_rows(columns, near, sides, left),
    }  # fmt: skip


def remaining_rows(living: Bools, violations: dict[str, Ints], aside: Collection[str]) -> Bools:
    """Leave out the pairs that are set aside for what was found."""
    dead = [numbers > 0 for name, numbers in violations.items() if name in aside]
    return living & ~np.any(dead, axis=0) if dead else living


def near_held_out(
    columns: PairColumns, near: NearDuplicates, rows: Bools, held_out: Bools, name: str
) -> dict[str, Ints]:
    """Mark pairs that ask, or nearly ask, what is held out from them.

    Args:
        columns: The pairs.
        near: Near-duplicates among their prompts.
        rows: The pairs that must not know it.
        held_out: The pairs that they must not know.
        name: Of the column of those with the very prompt.
    """
    given = columns.given != UNASSIGNED
    asked = {
        name: prompts_of_rows(columns, held_out),
        "near_test": near_prompts(near, prompts_of_rows(columns, held_out & given)),
        "near_heldout": near_prompts(near, prompts_of_rows(columns, held_out & ~given)),
    }
    return {column: as_numbers(rows & prompts[columns.prompts]) for column, prompts in asked.items()}


def as_numbers(flags: Bools) -> Ints:
    """Write flags as numbers."""
    return flags.astype(np.int64)


def prompts_of_rows(columns: PairColumns, rows: Bools) -> Bools:
    """Say of each prompt whether one of these rows has it."""
    flags = np.zeros(len(columns.asked), bool)
    flags[columns.prompts[rows]] = True
    return flags


def count_copies(ids: UInts, sides: Ints, living: Bools) -> Ints:
    """Count, for each place, the living copies of its pair before it; test comes first, then validation, then training.

    The dead have none.
    """
    indices = np.flatnonzero(living)
    ids, sides = ids[indices], sides[indices]
    order = np.lexsort((indices, -sides, ids))
    opens = np.concatenate([[True], ids[order][1:] != ids[order][:-1]]) if len(ids) else np.zeros(0, bool)
    copies = np.zeros(len(living), np.int64)
    ranks = np.arange(len(ids))
    copies[indices[order]] = ranks - np.maximum.accumulate(np.where(opens, ranks, 0))
    return copies


def symmetric_pairs(near: NearDuplicates) -> tuple[Ints, Ints]:
    """Give each pair of near-duplicates from both ends: who, and near whom."""
    return np.concatenate([near.first, near.second]), np.concatenate([near.second, near.first])


def near_prompts(near: NearDuplicates, prompts: Bools) -> Bools:
    """Say of each prompt whether it is near one of these."""
    left, whom = symmetric_pairs(near)
    flags = np.zeros(len(prompts), bool)
    flags[left[prompts[whom]]] = True
    return flags


def conflicting_completions(columns: PairColumns, near: NearDuplicates, living: Bools) -> dict[str, Ints]:
    """Count the completions of each pair's prompt, and mark pairs near a prompt that has another completion.

    Prompts of unlike numbers of turns are no conflict: the later one has heard more.
    """
    prompts, completions = np.unique(np.stack([columns.prompts, columns.completions])[:, living], axis=1)
    number = len(columns.asked)
    answers = np.bincount(prompts, minlength=number)
    lowest, highest = np.full(number, np.iinfo(np.int64).max), np.full(number, -1)
    np.minimum.at(lowest, prompts, completions)
    np.maximum.at(highest, prompts, completions)
    left, whom = symmetric_pairs(equal_turn_counts(columns, near))
    low, high = np.full(number, np.iinfo(np.int64).max), np.full(number, -1)
    np.minimum.at(low, left, lowest[whom])
    np.maximum.at(high, left, highest[whom])
    own = columns.completions
    other = (low[columns.prompts] < own) | (high[columns.prompts] > own)
    return {"answers": answers[columns.prompts], "near_conflicts": as_numbers(other)}


def equal_turn_counts(columns: PairColumns, near: NearDuplicates) -> NearDuplicates:
    """Leave out pairs of prompts with unlike numbers of turns."""
    turns = np.zeros(len(columns.asked), np.int64)
    turns[columns.prompts[::-1]] = columns.turns[::-1]
    kept = turns[near.first] == turns[near.second]
    return NearDuplicates(near.first[kept], near.second[kept], near.jaccard[kept])


def near_duplicate_rows(columns: PairColumns, near: NearDuplicates, sides: Ints, living: Bools) -> Ints:
    """Mark pairs that nearly say what an earlier one of their side says, with its completion; exact copies are none.

    What is near a near-copy alone is none: if that were taken out, this would be the only one that says it.
    """
    indices = np.flatnonzero(living)
    kinds, first, kind_of = np.unique(
        row_groups(columns, columns.prompts, sides, columns.completions)[indices],
        return_index=True,
        return_inverse=True,
    )  # the rows of one prompt, side and completion: one kind
    covered = np.zeros(len(kinds), bool)
    for earlier, later in near_groups(columns, equal_turn_counts(columns, near), kinds, first):
        covered[later] |= not covered[earlier]
    flags = np.zeros(len(columns), np.int64)
    alone = first[kind_of] == np.arange(len(indices))
    copy = columns.ids[indices] == columns.ids[indices][first[kind_of]]
    flags[indices] = covered[kind_of] | ~alone & ~copy
    return flags


def row_groups(columns: PairColumns, prompts: Ints, sides: Ints, completions: Ints) -> Ints:
    """Number the kinds of rows by prompt, side and completion, so that those of a prompt follow each other."""
    groups: Ints = (prompts * 3 + sides) * len(columns.answers) + completions
    return groups


def near_groups(columns: PairColumns, near: NearDuplicates, kinds: Ints, first: Ints) -> list[tuple[int, int]]:
    """Pair kinds of one side and completion whose prompts are near, the one that comes first first; in that order."""
    width = 3 * len(columns.answers)
    opens, ends = (np.searchsorted(kinds, (near.first + more) * width) for more in (0, 1))
    own = np.repeat(opens, ends - opens) + run_positions(ends - opens)
    wanted = kinds[own] + np.repeat(near.second - near.first, ends - opens) * width
    at = np.searchsorted(kinds, wanted)
    there = np.zeros(len(wanted), bool)
    there[at < len(kinds)] = kinds[at[at < len(kinds)]] == wanted[at < len(kinds)]
    one, two = own[there], at[there]
    swap = first[one] > first[two]
    earlier, later = np.where(swap, two, one), np.where(swap, one, two)
    order = np.argsort(first[later], kind="stable")
    return list(zip(earlier[order].tolist(), later[order].tolist(), strict=True))


def run_positions(lengths: Ints) -> Ints:
    """Count from 0 within each of some runs."""
    ends = np.cumsum(lengths)
    positions: Ints = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    return positions
