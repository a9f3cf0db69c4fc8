from typing import Any

import pytest

from pipeline.data_diff.recommendation import DataChange, Recommendation, recommend
from pipeline.params import Retrain, load_params
from tests.support.paths import PROJECT

RULES = load_params(PROJECT / "params.yaml").retrain
NOTHING = dict.fromkeys(("added", "removed", "edited", "relabelled", "moved", "spelling"), 0)


def change(learnt: dict[str, int] | None = None, tested: dict[str, int] | None = None, **more: Any) -> DataChange:
    """A change of a thousand rows."""
    quiet: dict[str, Any] = {"new_labels": {}, "vanished_labels": {}, "drift": {"labels": 0.01, "prompt lengths": 0.01}}
    return DataChange(1000, NOTHING | (learnt or {}), NOTHING | (tested or {}), **{**quiet, **more})


def rules(**replaced: Any) -> Retrain:
    return Retrain(**{**RULES.model_dump(), **replaced})


@pytest.mark.parametrize(
    ("found", "outcome", "reason"),
    [
        (change(), "skip", "the pairs are the same"),
        (change({"spelling": 400}, {"spelling": 5}), "skip", "405 rows differ by blanks or case alone"),
        (change(tested={"added": 3}), "evaluate", "3 added, all in the test set"),
        (change({"added": 19}), "evaluate", "only 19 added of the rows that training sees; fewer than 20"),
        (change({"added": 15, "edited": 5}), "retrain",
         "15 added, 5 edited of the rows that training sees; 20 are enough"),
        (change({"moved": 20}), "retrain", "20 moved of the rows that training sees; 20 are enough"),
        (change({"added": 1}, new_labels={"refund": 1}), "retrain", "new labels: refund (1 rows)"),
        (change({"relabelled": 90}, {"relabelled": 11}), "ask", "101 of 1000 rows relabelled (10%); more than 10%"),
        (change({"removed": 201}), "ask", "201 of 1000 rows removed (20%); more than 20%"),
        (change({"added": 30}, drift={"labels": 0.21, "prompt lengths": 0.2}), "ask",
         "labels drifted by 0.21; more than 0.2"),
        (change(vanished_labels={"refund": 7}), "ask", "vanished labels: refund (7 rows)"),
    ],
)  # fmt: skip
def test_a_change_has_one_outcome_and_its_reason(found: DataChange, outcome: str, reason: str) -> None:
    """By the rules that the project starts with."""
    assert recommend(found, RULES) == Recommendation(outcome, (reason,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "found", "outcome"),
    [
        ({"min_changed_rows": 5}, change({"added": 5}), "retrain"),
        ({"max_relabelled_share": 0.3}, change({"relabelled": 300}), "retrain"),
        ({"max_removed_share": 0.5}, change({"removed": 300}), "retrain"),
        ({"max_drift": 0.5}, change({"added": 30}, drift={"labels": 0.4, "prompt lengths": 0.4}), "retrain"),
        ({"new_labels": "ask"}, change({"added": 30}, new_labels={"a": 30}), "ask"),
        ({"vanished_labels": "retrain"}, change(vanished_labels={"a": 3}), "retrain"),
        ({"spelling": "retrain"}, change({"spelling": 20}), "retrain"),
    ],
)
def test_every_rule_counts(rule: dict[str, Any], found: DataChange, outcome: str) -> None:
    """Each field alone turns the outcome into another one."""
    assert recommend(found, rules(**rule)).outcome == outcome != recommend(found, RULES).outcome


def test_all_doubts_are_told_at_once() -> None:
    """A person who is asked sees every reason."""
    found = change({"removed": 500, "relabelled": 300}, drift={"prompt lengths": 0.9}, new_labels={"a": 1})
    decision = recommend(found, rules(new_labels="ask"))
    assert decision.outcome == "ask"
    assert [reason.split()[0] for reason in decision.reasons] == ["300", "500", "prompt", "new"]
