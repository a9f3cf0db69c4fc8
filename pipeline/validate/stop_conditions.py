"""Stop conditions: data problems that end a run before it trains."""

import numpy as np

from pipeline.errors import UserError
from pipeline.files import count_values
from pipeline.pairs import SPLITS
from pipeline.validate.columns import TEST, TRAIN, UNASSIGNED
from pipeline.validate.drift import NO_DRIFT, DriftFindings
from pipeline.validate.findings import ValidatedPairs, row_names
from pipeline.validate.splits import has_source_test

MAX_NEAR_HELDOUT = 0.2
"""Share of the pairs that may be left out as near-duplicates of held-out ones: with more, they are no duplicates."""


def stop_reason(
    judged: ValidatedPairs, limit: float, moved: DriftFindings = NO_DRIFT, *, labels: bool
) -> UserError | None:
    """Give the first reason for which the run must stop, if there is one.

    Args:
        judged: The pairs.
        limit: Share of all rows that may have a fault of their own.
        moved: How far they are from the champion's.
        labels: Whether completions are labels.
    """
    try:
        stop_on_errors(judged)
        require_no_drift(moved)
        stop_on_quarantined(judged, limit)
        require_distinct(judged)
        require_rows(judged)
        if labels:
            training_label_set(judged)
    except UserError as problem:
        return problem
    return None


def stop_on_errors(judged: ValidatedPairs) -> None:
    """Stop where params say that a check must hold.

    Raises:
        UserError: If it does not; it names the rows, and the other checks that do not hold either.
    """
    broken = [finding for finding in judged.findings if finding.action == "error" and len(finding.places)]
    if broken:
        first = broken[0]
        also = "".join(f"; also {finding.check.reason}: {len(finding.places):,} rows" for finding in broken[1:])
        raise UserError(
            f"validate.checks.{first.check.reason}",
            f"{len(first.places):,} rows break it",
            expected=first.check.expects,
            got=row_names(judged.columns, first.places) + also,
            do=f"{first.check.fix}, or set it to warn",
        )


def stop_on_quarantined(judged: ValidatedPairs, limit: float) -> None:
    """Stop when more rows have a fault of their own than params allow; copies and neighbours are no faults.

    Raises:
        UserError: If there are more.
    """
    why, unread = judged.why, judged.unread
    faulty = np.array([*(finding.check.fault for finding in judged.findings), False], bool)  # the last for KEPT
    indices = np.flatnonzero(~judged.kept & faulty[why])
    rows, bad = len(why) + len(unread), len(indices) + len(unread)
    if bad > limit * rows:
        reasons = count_values([*unread, *(judged.findings[why[index]].check.reason for index in indices)])
        counts = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
        raise UserError(
            "validate.max_quarantined_share",
            f"{bad:,} of {rows:,} rows are bad: {counts}",
            expected=f"at most {int(limit * rows):,} ({limit:g} of them)",
            got=row_names(judged.columns, indices) if len(indices) else "rows that ingest could not read",
            do="look at them with `tunesmith check-data`, mend them, or raise the limit",
        )


def require_distinct(judged: ValidatedPairs) -> None:
    """Check that pairs are not taken for near-duplicates merely because they share an instruction.

    Raises:
        UserError: If many would be left out of training as near-duplicates of held-out ones.
    """
    for number, finding in enumerate(judged.findings):
        left_out = int((judged.why == number).sum())
        if finding.check.reason in ("near_heldout", "near_test") and left_out > MAX_NEAR_HELDOUT * len(judged.why):
            raise UserError(
                "validate.near_duplicate_similarity",
                f"{left_out:,} of {len(judged.why):,} rows are nearly the same as a held-out one",
                expected=f"at most {MAX_NEAR_HELDOUT:.0%}",
                do="raise it; or, if the prompts share an instruction, move that into prompt.system; or set "
                f"validate.checks.{finding.check.reason} to warn",
            )


def require_no_drift(moved: DriftFindings) -> None:
    """Stop where params say that the data must be spread as the champion's were.

    Raises:
        UserError: If they are not.
    """
    if moved.action == "error" and moved.broken:
        raise UserError(
            "validate.checks.drift",
            "the training rows are not what the champion learnt from",
            got=", ".join(map(str, moved.broken)),
            do="look whether the source still is what it was, or set it to warn",
        )


def require_rows(judged: ValidatedPairs) -> None:
    """Check that there is something to train on and something to test on.

    Raises:
        UserError: If there is not.
    """
    given, drawn = has_source_test(judged.columns), (judged.columns.given == UNASSIGNED).any()
    remedies = {
        "train": "add rows, or lower validate.test_share and validate.validation_share"
        if drawn
        else "no source gives training rows: add one, or set the split of one to null",
        "test": "look why none of the rows of the test source is good" if given else "add rows, or raise "
        "validate.test_share",
    }  # fmt: skip
    for name, remedy in remedies.items():
        if not (judged.kept & (judged.sides == SPLITS.index(name))).any():
            raise UserError(f"{judged.kept.sum():,} good rows", f"the {name} split is empty", do=remedy)


def training_label_set(judged: ValidatedPairs) -> list[str]:
    """List the labels that training knows.

    Raises:
        UserError: If the test rows have one that training has not: it could never be answered.
    """
    columns = judged.columns
    trained, tested = (
        np.bincount(columns.completions[judged.kept & (judged.sides == side)], minlength=len(columns.answers))
        for side in (TRAIN, TEST)
    )
    unknown = {columns.answers[at]: int(tested[at]) for at in np.flatnonzero((trained == 0) & (tested > 0))}
    if unknown:
        worst = sorted(unknown.items(), key=lambda item: (-item[1], item[0]))[:5]
        raise UserError(
            "the test split",
            f"labels that no training row has: {', '.join(f'{label!r} ({n} rows)' for label, n in worst)}",
            do="add training rows for them, or set prompt.task: text",
        )
    return sorted(columns.answers[at] for at in np.flatnonzero(trained))
