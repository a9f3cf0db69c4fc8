import numpy as np

from pipeline.validate.checks import all_checks
from pipeline.validate.findings import NOT_QUARANTINED, Finding, quarantine_reasons, row_names
from tests.support.checked_pairs import RULES, columns

FIRST, SECOND, THIRD = all_checks(RULES)[:3]


def test_a_pair_goes_by_the_first_finding_that_sets_it_aside() -> None:
    """What is only reported, masked or stops the run sets none aside."""
    findings = [
        Finding(FIRST, "warn", np.array([0, 1])),
        Finding(SECOND, "quarantine", np.array([1, 2])),
        Finding(THIRD, "quarantine", np.array([2, 3])),
        Finding(THIRD, "mask", np.array([4])),
        Finding(THIRD, "error", np.array([5])),
    ]
    assert quarantine_reasons(findings, 6).tolist() == [NOT_QUARANTINED, 1, 1, 2, NOT_QUARANTINED, NOT_QUARANTINED]
    assert quarantine_reasons([], 2).tolist() == [NOT_QUARANTINED, NOT_QUARANTINED]


def test_rows_are_named_by_file_and_number() -> None:
    """Ten of them; that there are more is said."""
    assert row_names(columns(), np.array([1, 4])) == "f row 1, f row 4"
    many = columns(rows=np.arange(100, 106))
    assert row_names(many, np.array([0] * 11)) == ", ".join(["f row 100"] * 10) + " and others"
