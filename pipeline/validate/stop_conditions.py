"""Reasons for which a run stops at its data, before it costs anything."""

import numpy as np

from pipeline.errors import Problem
from pipeline.files import counts
from pipeline.pairs import SPLITS
from pipeline.validate.columns import DRAWN, TEST, TRAIN
from pipeline.validate.drift import STILL, Moved
from pipeline.validate.findings import Judged, named
from pipeline.validate.splits import test_given

CROWDED = 0.2
"""Share of the pairs that may be left out as near-duplicates of held-out ones: with more, they are no duplicates."""


def refusal(judged: Judged, limit: float, moved: Moved = STILL, *, labels: bool) -> Problem | None:
    """Give the first reason for which the run must stop, if there is one.

    Args:
        judged: The pairs.
        limit: Share of all rows that may have a fault of their own.
        moved: How far they are from the champion's.
        labels: Whether completions are labels.
    """
    try:
        refuse(judged)
        need_nearness(moved)
        too_many(judged, limit)
        need_difference(judged)
        need_rows(judged)
        if labels:
            labels_of(judged)
    except Problem as problem:
        return problem
    return None


def refuse(judged: Judged) -> None:
    """Stop where params say that a check must hold.

    Raises:
        Problem: If it does not; it names the rows, and the other checks that do not hold either.
    """
    broken = [found for found in judged.findings if found.action == "error" and len(found.places)]
    if broken:
        first = broken[0]
        also = "".join(f"; also {found.check.reason}: {len(found.places):,} rows" for found in broken[1:])
        raise Problem(
            f"validate.checks.{first.check.reason}",
            f"{len(first.places):,} rows break it",
            expected=first.check.expects,
            got=named(judged.columns, first.places) + also,
            do=f"{first.check.fix}, or set it to warn",
        )


def too_many(judged: Judged, limit: float) -> None:
    """Stop when more rows have a fault of their own than params allow; copies and neighbours are no faults.

    Raises:
        Problem: If there are more.
    """
    why, unread = judged.why, judged.unread
    faulty = np.array([*(found.check.fault for found in judged.findings), False], bool)  # the last for KEPT
    places = np.flatnonzero(~judged.kept & faulty[why])
    rows, bad = len(why) + len(unread), len(places) + len(unread)
    if bad > limit * rows:
        reasons = counts([*unread, *(judged.findings[why[place]].check.reason for place in places)])
        told = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
        raise Problem(
            "validate.max_quarantined_share",
            f"{bad:,} of {rows:,} rows are bad: {told}",
            expected=f"at most {int(limit * rows):,} ({limit:g} of them)",
            got=named(judged.columns, places) if len(places) else "rows that ingest could not read",
            do="look at them with `tunesmith data`, mend them, or raise the limit",
        )


def need_difference(judged: Judged) -> None:
    """Check that pairs are not taken for near-duplicates merely because they share an instruction.

    Raises:
        Problem: If many would be left out of training as near-duplicates of held-out ones.
    """
    for number, found in enumerate(judged.findings):
        left_out = int((judged.why == number).sum())
        if found.check.reason in ("near_heldout", "near_test") and left_out > CROWDED * len(judged.why):
            raise Problem(
                "validate.near_duplicate_similarity",
                f"{left_out:,} of {len(judged.why):,} rows are nearly the same as a held-out one",
                expected=f"at most {CROWDED:.0%}",
                do="raise it; or, if the prompts share an instruction, move that into prompt.system; or set "
                f"validate.checks.{found.check.reason} to warn",
            )


def need_nearness(moved: Moved) -> None:
    """Stop where params say that the data must be spread as the champion's were.

    Raises:
        Problem: If they are not.
    """
    if moved.action == "error" and moved.broken:
        raise Problem(
            "validate.checks.drift",
            "the training rows are not what the champion learnt from",
            got=", ".join(map(str, moved.broken)),
            do="look whether the source still is what it was, or set it to warn",
        )


def need_rows(judged: Judged) -> None:
    """Check that there is something to train on and something to test on.

    Raises:
        Problem: If there is not.
    """
    given, drawn = test_given(judged.columns), (judged.columns.given == DRAWN).any()
    remedies = {
        "train": "add rows, or lower validate.test_share and validate.validation_share"
        if drawn
        else "no source gives training rows: add one, or set the split of one to null",
        "test": "look why none of the rows of the test source is good" if given else "add rows, or raise "
        "validate.test_share",
    }  # fmt: skip
    for name, remedy in remedies.items():
        if not (judged.kept & (judged.sides == SPLITS.index(name))).any():
            raise Problem(f"{judged.kept.sum():,} good rows", f"the {name} split is empty", do=remedy)


def labels_of(judged: Judged) -> list[str]:
    """List the labels that training knows.

    Raises:
        Problem: If the test rows have one that training has not: it could never be answered.
    """
    columns = judged.columns
    trained, tested = (
        np.bincount(columns.completions[judged.kept & (judged.sides == side)], minlength=len(columns.answers))
        for side in (TRAIN, TEST)
    )
    unknown = {columns.answers[at]: int(tested[at]) for at in np.flatnonzero((trained == 0) & (tested > 0))}
    if unknown:
        worst = sorted(unknown.items(), key=lambda item: (-item[1], item[0]))[:5]
        raise Problem(
            "the test split",
            f"labels that no training row has: {', '.join(f'{label!r} ({n} rows)' for label, n in worst)}",
            do="add training rows for them, or set prompt.task: text",
        )
    return sorted(columns.answers[at] for at in np.flatnonzero(trained))
