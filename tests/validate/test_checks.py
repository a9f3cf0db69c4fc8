import pytest

from pipeline.params import Validate, load_params
from pipeline.validate.checks import action_of, all_checks, drift_check
from tests.support.paths import PROJECT

RULES = load_params(PROJECT / "params.yaml").validate


def test_every_check_has_its_action_in_params_and_its_own_reason() -> None:
    """No check without a setting, no setting without a check, no reason twice."""
    reasons = [check.reason for check in all_checks(RULES)]
    assert sorted([*reasons, drift_check(RULES).reason]) == sorted(type(RULES.checks).model_fields)


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
    (check,) = [check for check in all_checks(other) if check.reason == reason]
    assert 77 in (check.least, check.most)


def test_a_share_itself_is_allowed() -> None:
    """Shares are compared in thousandths, whatever their fraction is in binary."""
    for share in (0.29, 0.57, 0.58, 0.9, 1.0):
        (check,) = [
            c for c in all_checks(RULES.model_copy(update={"max_label_share": share})) if c.reason == "dominant_label"
        ]
        assert check.most == round(1000 * share)
        assert drift_check(RULES.model_copy(update={"max_drift": share})).most == round(1000 * share)


def test_what_was_not_said_is_not_compared_with() -> None:
    """Without languages or labels in params, those two checks are off, whatever is to become of rows."""
    said = RULES.model_copy(update={"languages": ("en",), "labels": ("a",)})
    off, on = ({c.reason for c in all_checks(rules) if action_of(c, rules) == "off"} for rules in (RULES, said))
    assert off == {"other_language", "unknown_label"}
    assert on == set()
