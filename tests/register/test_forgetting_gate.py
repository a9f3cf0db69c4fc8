"""Laws of the gate's checks on what was forgotten: who may be stopped by what, and who has to show it."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from pipeline.params import Register, load_params
from pipeline.register.gate import check_forgetting
from pipeline.stats.paired_comparison import ComparisonSettings, compare_scores
from tests.support.tiny_params import PROJECT

REGISTER: Register = load_params(PROJECT / "params.yaml").register


def texts(low: float, value: float, high: float) -> dict[str, Any]:
    """A rise of the loss, as `forgetting.json` has it."""
    whole = {"value": 3.0, "low": 2.9, "high": 3.1, "n": 40}
    rise = {"value": value, "low": low, "high": high, "n": 40}
    return {"texts": {"n": 40, "tokens": 2350, "before": whole, "after": whole, "rise": rise}, "questions": None}


def questions(gained: int, lost: int, n: int = 70) -> dict[str, Any]:
    """So many questions that one model alone answers."""
    before = np.array([1.0] * lost + [0.0] * gained + [1.0] * (n - lost - gained))
    after = np.array([0.0] * lost + [1.0] * gained + [1.0] * (n - lost - gained))
    told = {name: {"value": float(right.mean())} for name, right in (("before", before), ("after", after))}
    change = asdict(compare_scores("questions", after, before, ComparisonSettings(200, 1, 0.95, 0.02)))
    return {"texts": None, "questions": {"n": n, **told, "change": change}}


@pytest.mark.parametrize(
    ("rise", "passed"),
    [((0.25, 0.3, 0.35), True), ((0.4, 0.45, 0.55), False), ((1.2, 1.5, 1.8), False), ((-0.1, 0, 0.5), True)],
)
def test_the_model_has_to_show_that_the_loss_rose_by_little(rise: tuple[float, float, float], passed: bool) -> None:
    """By the upper end of the interval; what stops says what to do."""
    check, _ = check_forgetting(texts(*rise), REGISTER)
    assert (check.check, check.passed) == ("forgetting: texts", passed)
    assert ("lower finetune.learning_rate" in check.text) is not passed
    assert f"{rise[1]:+.3f} ({rise[0]:+.3f} to {rise[2]:+.3f})" in check.text


@pytest.mark.parametrize(
    ("gained", "lost", "passed"),
    [(0, 0, True), (0, 7, True), (0, 8, False), (12, 22, True), (3, 20, False), (20, 0, True), (0, 4, True)],
)
def test_questions_stop_what_lost_many_and_not_by_chance(gained: int, lost: int, passed: bool) -> None:
    """More than a tenth of 70, net, and no coin loses so many: 22 lost and 12 gained may be chance."""
    _, check = check_forgetting(questions(gained, lost), REGISTER)
    assert (check.check, check.passed) == ("forgetting: questions", passed)
    assert f"answers 70 rightly, the fine-tuned one {70 - lost + gained}" in check.text or gained > 0


def test_each_limit_is_live() -> None:
    """Another limit decides otherwise."""
    strict = REGISTER.model_copy(update={"max_forgetting_nats": 0.2, "max_question_regression": 0.05})
    assert [check.passed for check in check_forgetting(texts(0.25, 0.3, 0.35), strict)] == [False, True]
    assert [check.passed for check in check_forgetting(questions(0, 5), strict)] == [True, False]
    assert [check.passed for check in check_forgetting(questions(0, 5), REGISTER)] == [True, True]


@pytest.mark.parametrize("lost", [{}, {"texts": None, "questions": None}])
def test_what_nobody_looked_at_is_told(lost: dict[str, Any]) -> None:
    """It stops nothing, and is not silent."""
    checks = list(check_forgetting(lost, REGISTER))
    assert [(check.check, check.passed) for check in checks] == [
        ("forgetting: texts", True), ("forgetting: questions", True),
    ]  # fmt: skip
    assert all("nobody looked at general" in check.text for check in checks)
