"""Assigns each pair to train, validation or test, by hash of its group."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Bools, Ints, UInts
from pipeline.dedup.minhash import NearDuplicates
from pipeline.params import Validate
from pipeline.validate.columns import TEST, TRAIN, UNASSIGNED, VALIDATION, PairColumns


class SplitColumns(Protocol):
    """Pairs of which is known where the law of the split puts each, and what its source says of it; as Columns are."""

    @property
    def points(self) -> npt.NDArray[np.float64]:
        """Where the law puts their prompt, from 0 to 1."""

    @property
    def given(self) -> Ints:
        """The number of the split that their source names, or DRAWN."""


def assign_splits(columns: SplitColumns, validate: Validate) -> Ints:
    """Say on which side of the split each pair is, as a number of SPLITS.

    By the hash of how its conversation opens, so that it stays there whatever rows come or go, and rows with one prompt
    stay together. Where a source names its side, that holds; where one is the test set, no other row is drawn into it.
    """
    share = 0.0 if has_source_test(columns) else validate.test_share
    held_out = np.where(columns.points < share + validate.validation_share, VALIDATION, TRAIN)
    drawn = np.where(columns.points < share, TEST, held_out)
    return np.where(columns.given == UNASSIGNED, drawn, columns.given)


def pin_to_test(columns: PairColumns, sides: Ints, claimed: Bools) -> Ints:
    """Keep pairs that are claimed in the test set, if that is drawn and no source says otherwise."""
    if has_source_test(columns):
        return sides
    return np.where(claimed & (columns.given == UNASSIGNED), TEST, sides)


def has_source_test(columns: SplitColumns) -> bool:
    """Say whether a source is the test set."""
    return bool((columns.given == TEST).any())


def scored_before(tested: UInts, columns: PairColumns, near: NearDuplicates, held_out: Bools) -> Bools:
    """Find the pairs whose conversation asks, or nearly asks, what was tested before and no longer is in the test set.

    Args:
        tested: The hashes of the prompts that were tested, in the order of their places in *near*.
        columns: The pairs.
        near: Near-duplicates among the prompts, and between them and those that were tested.
        held_out: The pairs that are in the test set and are not set aside for themselves.
    """
    number = len(columns.asked)
    present = columns.asked[np.unique(columns.prompts[held_out])]
    absent = ~np.isin(tested, present)
    before = near.second >= number
    scored = np.isin(columns.asked, tested[absent])
    scored[near.first[before][absent[near.second[before] - number]]] = True
    return np.isin(columns.points, columns.points[scored[columns.prompts]])  # a conversation has one point


def prompts_among(near: NearDuplicates, number: int) -> NearDuplicates:
    """Leave out what is near a prompt of another time."""
    kept = near.second < number
    return NearDuplicates(near.first[kept], near.second[kept], near.jaccard[kept])
