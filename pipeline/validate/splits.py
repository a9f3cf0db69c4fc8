"""Assigns each pair to train, validation or test, by hash of its group."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.dedup.minhash import Near
from pipeline.params import Validate
from pipeline.validate.columns import DRAWN, TEST, TRAIN, VALIDATION, Columns, Hashes, Numbers
from pipeline.validate.duplicates import Flags


class Placed(Protocol):
    """Pairs of which is known where the law of the split puts each, and what its source says of it; as Columns are."""

    @property
    def points(self) -> npt.NDArray[np.float64]:
        """Where the law puts their prompt, from 0 to 1."""

    @property
    def given(self) -> Numbers:
        """The number of the split that their source names, or DRAWN."""


def sides_of(columns: Placed, validate: Validate) -> Numbers:
    """Say on which side of the split each pair is, as a number of SPLITS.

    By the hash of how its conversation opens, so that it stays there whatever rows come or go, and rows with one prompt
    stay together. Where a source names its side, that holds; where one is the test set, no other row is drawn into it.
    """
    share = 0.0 if test_given(columns) else validate.test_share
    held_out = np.where(columns.points < share + validate.validation_share, VALIDATION, TRAIN)
    drawn = np.where(columns.points < share, TEST, held_out)
    return np.where(columns.given == DRAWN, drawn, columns.given)


def with_claimed(columns: Columns, sides: Numbers, claimed: Flags) -> Numbers:
    """Keep pairs that are claimed in the test set, if that is drawn and no source says otherwise."""
    if test_given(columns):
        return sides
    return np.where(claimed & (columns.given == DRAWN), TEST, sides)


def test_given(columns: Placed) -> bool:
    """Say whether a source is the test set."""
    return bool((columns.given == TEST).any())


def claimed_by(tested: Hashes, columns: Columns, near: Near, held_out: Flags) -> Flags:
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
    found = np.isin(columns.asked, tested[absent])
    found[near.first[before][absent[near.second[before] - number]]] = True
    return np.isin(columns.points, columns.points[found[columns.prompts]])  # a conversation has one point


def among(near: Near, number: int) -> Near:
    """Leave out what is near a prompt of another time."""
    kept = near.second < number
    return Near(near.first[kept], near.second[kept], near.jaccard[kept])
