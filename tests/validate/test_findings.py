import numpy as np

from pipeline.validate.checks import checks_of
from pipeline.validate.findings import KEPT, Finding, named, reasons_of
from tests.support.checked_pairs import RULES, columns

FIRST, SECOND, THIRD = checks_of(RULES)[:3]


def test_a_pair_goes_by_the_first_finding_that_sets_it_aside() -> None:
    """What is only reported, masked or stops the run sets none aside."""
    findings = [
        Finding(FIRST, "warn", np.array([0, 1])),
        Finding(SECOND, "quarantine", np.array([1, 2])),
        Finding(THIRD, "quarantine", np.array([2, 3])),
        Finding(THIRD, "mask", np.array([4])),
        Finding(THIRD, "error", np.array([5])),
    ]
    assert reasons_of(findings, 6).tolist() == [KEPT, 1, 1, 2, KEPT, KEPT]
    assert reasons_of([], 2).tolist() == [KEPT, KEPT]


def test_rows_are_named_by_file_and_number() -> None:
    """Ten of them; that there are more is said."""
    assert named(columns(), np.array([1, 4])) == "f row 1, f row 4"
    many = columns(rows=np.arange(100, 106))
    assert named(many, np.array([0] * 11)) == ", ".join(["f row 100"] * 10) + " and others"
