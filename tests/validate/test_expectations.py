from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.params import load_params
from pipeline.validate import expectations
from pipeline.validate.checks import RowCheck, all_checks
from pipeline.validate.expectations import read_gx_result, render_data_docs, run_suite
from pipeline.validate.findings import Finding
from tests.support.paths import PROJECT

RULES = load_params(PROJECT / "params.yaml").validate.model_copy(update={"languages": ("en",), "labels": ("a",)})
CHECKS = all_checks(RULES)


def columns(rows: int = 6, **replaced: Any) -> dict[str, np.ndarray[Any, Any]]:
    """A column for each check, of good rows."""
    good = {check.column: check.least if check.least is not None else 0 for check in all_checks(RULES)}
    return {name: np.array(replaced.get(name, [value] * rows), np.int64) for name, value in good.items()}


def broken(found: list[Finding]) -> dict[str, list[int]]:
    return {item.check.reason: item.places.tolist() for item in found if len(item.places)}


def test_good_rows_break_nothing() -> None:
    """Every bound itself is allowed."""
    assert broken(run_suite(columns(), CHECKS, RULES).findings) == {}
    at_bounds = {check.column: [check.most] * 6 for check in all_checks(RULES) if check.most is not None}
    assert broken(run_suite(columns(**at_bounds), CHECKS, RULES).findings) == {}


@pytest.mark.parametrize("check", all_checks(RULES), ids=lambda check: check.reason)
def test_each_check_finds_the_rows_beyond_its_bounds(check: RowCheck) -> None:
    """One beyond the bound, in two places; no other check finds them."""
    bad = check.least - 1 if check.least is not None else (check.most or 0) + 1
    good = check.least if check.least is not None else 0
    wanted = {check.reason: [1, 4]}
    assert (
        broken(run_suite(columns(**{check.column: [good, bad, good, good, bad, good]}), CHECKS, RULES).findings)
        == wanted
    )


def test_what_is_off_is_not_looked_at() -> None:
    """It is not among the findings."""
    off = RULES.model_copy(update={"checks": RULES.checks.model_copy(update={"duplicate": "off"})})
    found = run_suite(columns(copy=[1] * 6), CHECKS, off).findings
    assert broken(found) == {}
    assert "duplicate" not in {item.check.reason for item in found}


def test_many_rows_are_held_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places count from the first row of all."""
    monkeypatch.setattr(expectations, "GX_BATCH_ROWS", 4)
    assert broken(run_suite(columns(10, copy=[0, 1, 0, 0, 1, 0, 0, 0, 0, 1]), CHECKS, RULES).findings) == {
        "duplicate": [1, 4, 9]
    }
    some = np.array([0, 1, 2, 3, 5, 9])
    assert broken(run_suite(columns(10, copy=[1] * 10), CHECKS, RULES, some).findings) == {"duplicate": some.tolist()}
    assert broken(run_suite(columns(10, copy=[1] * 10), CHECKS, RULES, some[:0]).findings) == {}


def test_an_expectation_that_fails_to_run_is_never_taken_for_bad_data() -> None:
    """A result without the list of bad rows, as a misspelt column gives it, stops the run."""
    config = SimpleNamespace(meta={"reason": "duplicate"})
    result = SimpleNamespace(result={}, exception_info="no such column", expectation_config=config)
    with pytest.raises(RuntimeError, match="the expectation 'duplicate' could not be computed: no such column"):
        read_gx_result(result)


def test_the_pages_of_great_expectations_say_the_same_in_the_same_bytes() -> None:
    """Each expectation with what it means and how many rows break it; nothing of the moment is in them."""
    pages = []
    for _ in range(2):
        (result,) = run_suite(columns(copy=[0, 1, 0, 0, 1, 0]), CHECKS, RULES).results
        pages.append(render_data_docs(result))
    assert pages[0] == pages[1]
    assert "duplicate: no second copy of the same pair" in pages[0]
    assert "Great Expectations" in pages[0]
