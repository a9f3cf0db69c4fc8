from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT

from pipeline import suite
from pipeline.params import Validate, load_params
from pipeline.suite import checks_of, hold, outcome

RULES = load_params(PROJECT / "params.yaml").validate


def columns(rows: int = 6, **replaced: Any) -> dict[str, np.ndarray[Any, Any]]:
    """A column for each check, of good rows."""
    good = {check.column: check.least if check.least is not None else 0 for check in checks_of(RULES)}
    return {name: np.array(replaced.get(name, [value] * rows), np.int64) for name, value in good.items()}


def broken(found: list[suite.Finding]) -> dict[str, list[int]]:
    return {item.check.reason: item.places.tolist() for item in found if len(item.places)}


def test_every_check_has_its_action_in_params_and_its_own_reason() -> None:
    """No check without a setting, no setting without a check, no reason twice."""
    reasons = [check.reason for check in checks_of(RULES)]
    assert sorted(reasons) == sorted(type(RULES.checks).model_fields)


def test_good_rows_break_nothing() -> None:
    """Every bound itself is allowed."""
    assert broken(hold(columns(), RULES)) == {}
    at_bounds = {check.column: [check.most] * 6 for check in checks_of(RULES) if check.most is not None}
    assert broken(hold(columns(**at_bounds), RULES)) == {}


@pytest.mark.parametrize("check", checks_of(RULES), ids=lambda check: check.reason)
def test_each_check_finds_the_rows_beyond_its_bounds(check: suite.Check) -> None:
    """One beyond the bound, in two places; no other check finds them."""
    bad = check.least - 1 if check.least is not None else (check.most or 0) + 1
    good = check.least if check.least is not None else 0
    wanted = {check.reason: [1, 4]}
    assert broken(hold(columns(**{check.column: [good, bad, good, good, bad, good]}), RULES)) == wanted


def test_what_is_off_is_not_looked_at() -> None:
    """It is not among the findings."""
    off = RULES.model_copy(update={"checks": RULES.checks.model_copy(update={"duplicate": "off"})})
    found = hold(columns(copy=[1] * 6), off)
    assert broken(found) == {}
    assert "duplicate" not in {item.check.reason for item in found}


def test_many_rows_are_held_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places count from the first row of all."""
    monkeypatch.setattr(suite, "TOGETHER", 4)
    assert broken(hold(columns(10, copy=[0, 1, 0, 0, 1, 0, 0, 0, 0, 1]), RULES)) == {"duplicate": [1, 4, 9]}


def test_an_expectation_that_fails_to_run_is_never_taken_for_bad_data() -> None:
    """A result without the list of bad rows, as a misspelt column gives it, stops the run."""
    config = SimpleNamespace(meta={"reason": "duplicate"})
    result = SimpleNamespace(result={}, exception_info="no such column", expectation_config=config)
    with pytest.raises(RuntimeError, match="the expectation 'duplicate' could not be computed: no such column"):
        outcome(result)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("max_prompt_chars", "prompt_too_long"),
        ("max_completion_chars", "completion_too_long"),
        ("min_label_rows", "rare_label"),
    ],
)
def test_limits_come_from_params(field: str, reason: str) -> None:
    """Another limit is another bound."""
    other: Validate = RULES.model_copy(update={field: 77})
    (check,) = [check for check in checks_of(other) if check.reason == reason]
    assert 77 in (check.least, check.most)
