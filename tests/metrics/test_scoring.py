"""Laws of what is measured by task, of answers that are given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.generation.generate import Prediction
from pipeline.metrics.metric import proportion
from pipeline.metrics.rules import load_rules
from pipeline.metrics.scoring import decontaminated_metrics, score_details, score_predictions, summarize_scores
from pipeline.pairs import Message, Pair
from pipeline.params import Evaluate
from pipeline.params.evaluation import TASK_METRICS
from tests.support.tiny_params import tiny_params

RULES = [{"name": "short", "max_words": 1}, {"name": "no-g", "must_not_match": "g"}]
TEXTS = ["a", "b c", "d e f", "{}", '{"a": 1}'] * 4
EVERY = {
    "labels": {"accuracy", "free_label", "macro_f1", "calibration_error"},
    "text": {"exact_match", "chrf", "rouge_l", "length_ratio"},
    "json": {"json_valid", "json_exact", "fields_f1", "fields_f1_micro"},
}
BEST = {"calibration_error": 0.0}
"""All others are 1 where all is right."""


def evaluation(**replaced: Any) -> Evaluate:
    return tiny_params(Path("none"), **{f"evaluate.{name}": value for name, value in replaced.items()}).evaluate


def pairs(completions: list[str]) -> list[Pair]:
    return [
        Pair((Message("user", f"question {row}"),), completion, "a", row, None, b"")
        for row, completion in enumerate(completions)
    ]


def answers(texts: list[str], probability: float | None = 1.0) -> list[Prediction]:
    return [Prediction(text, free=True, held=True, probability=probability) for text in texts]


@pytest.mark.parametrize("task", list(EVERY))
def test_answers_that_are_all_right_have_the_best_of_every_measure(task: str) -> None:
    """Whatever the task measures, the very same answers have 1 (and no error), with an interval."""
    wanted = TEXTS[3:5] * 6 if task == "json" else TEXTS
    found = summarize_scores(score_predictions(task, pairs(wanted), answers(wanted), ()), evaluation())
    assert set(found) == EVERY[task]
    for measure, metric in found.items():
        assert (metric.value, metric.n) == (BEST.get(measure, 1.0), len(wanted))
        assert metric.low <= metric.value <= metric.high


@pytest.mark.parametrize("task", list(EVERY))
def test_each_row_has_every_score_that_the_gate_may_go_by(task: str) -> None:
    """Whatever `register.metric` may be for a task, and the rules with any of them."""
    rules = load_rules(evaluation(rules=RULES).rules, Path("none"))
    found = score_predictions(task, pairs(['{"a": 1}', "[]"]), answers(["[]", "[]"]), rules).scores
    assert {*TASK_METRICS[task], "rules"} <= set(found)
    for scores in found.values():
        assert len(scores) == 2
        assert (scores >= 0).all()
        assert (scores <= 1).all()


@pytest.mark.parametrize("task", list(EVERY))
def test_the_order_of_the_rows_changes_no_value(task: str) -> None:
    """Shuffled rows have the same values, and the same details."""
    wanted, said = ['{"a": 1}', '{"a": 2, "b": 3}', "[4]"] * 5, ['{"a": 1}', "[4]", '{"a": 2}'] * 5
    order = np.random.default_rng(1).permutation(15).tolist()
    plain = score_predictions(task, pairs(wanted), answers(said, 0.5), ())
    turned = score_predictions(
        task, pairs([wanted[row] for row in order]), answers([said[row] for row in order], 0.5), ()
    )
    found, again = summarize_scores(plain, evaluation()), summarize_scores(turned, evaluation())
    assert {name: metric.value for name, metric in again.items()} == pytest.approx(
        {name: metric.value for name, metric in found.items()}
    )
    if task != "labels":  # of labels F1 has an interval from draws
        assert score_details(turned, evaluation()) == score_details(plain, evaluation())
    else:
        assert score_details(turned, evaluation())["confusion"] == score_details(plain, evaluation())["confusion"]


@pytest.mark.parametrize("task", list(EVERY))
def test_one_row_is_enough(task: str) -> None:
    """Every measure has a value and an interval that holds it, of n = 1."""
    for said in ("[1]", "", "[2]"):
        found = summarize_scores(score_predictions(task, pairs(["[1]"]), answers([said], 0.5), ()), evaluation())
        assert {metric.n for metric in found.values()} == {1}
        assert all(metric.low <= metric.value <= metric.high for metric in found.values())


def test_who_does_not_say_how_sure_it_is_has_no_calibration() -> None:
    """As a linear baseline or a champion of old may not."""
    arm = score_predictions("labels", pairs(["a", "b"]), answers(["a", "b"], None), ())
    assert set(summarize_scores(arm, evaluation())) == EVERY["labels"] - {"calibration_error"}
    assert score_details(arm, evaluation())["reliability"] == []


def test_the_rules_are_kept_only_if_each_is() -> None:
    """A text keeps the rules if it keeps every one, and each rule has a score of its own."""
    rules = load_rules(evaluation(rules=RULES).rules, Path("none"))
    scores = score_predictions("text", pairs(["a"] * 4), answers(["a", "a b", "g", "g g"]), rules).scores
    assert {name: scores[name].tolist() for name in ("exact_match", "rules", "rule:short", "rule:no-g")} == {
        "exact_match": [1, 0, 0, 0], "rules": [1, 0, 0, 0], "rule:short": [1, 0, 1, 0], "rule:no-g": [1, 1, 0, 0],
    }  # fmt: skip


def test_a_rule_may_give_degrees(tmp_path: Path) -> None:
    """`rules` is, row by row, the rule that is kept worst; its function sees the prompt of the row."""
    code = "def f(answer, prompt):\n    return 0.5 if prompt == 'question 1' else 1\n"
    (tmp_path / "own.py").write_text(code, encoding="utf-8")
    rules = load_rules(evaluation(rules=[*RULES, {"name": "own", "python": "own:f"}]).rules, tmp_path)
    scores = score_predictions("text", pairs(["a"] * 3), answers(["a", "a", "g"]), rules).scores
    assert scores["rule:own"].tolist() == [1.0, 0.5, 1.0]
    assert scores["rules"].tolist() == [1.0, 0.5, 0.0]


def test_clean_rows_are_summed_up_by_themselves() -> None:
    """Each measure once more under its name and `clean`; none if every row is clean, or none is."""
    arm = score_predictions("labels", pairs(["a", "b", "a"]), answers(["a", "a", "b"]), ())
    found = decontaminated_metrics(arm, np.array([True, False, True]), evaluation())
    assert set(found) == {f"{measure} clean" for measure in EVERY["labels"]}
    assert found["accuracy clean"] == proportion([True, False])
    assert decontaminated_metrics(arm, np.ones(3, bool), evaluation()) == decontaminated_metrics(
        arm, np.zeros(3, bool), evaluation()
    )
    assert decontaminated_metrics(arm, np.ones(3, bool), evaluation()) == {}


def test_resamples_and_seed_move_intervals_alone() -> None:
    """Both fields are live: the value stays, the interval is that of other draws."""
    arm = score_predictions("text", pairs(TEXTS), answers(TEXTS[1:] + TEXTS[:1]), ())
    plain = summarize_scores(arm, evaluation())
    for other in (evaluation(seed=7), evaluation(bootstrap_resamples=500)):
        found = summarize_scores(arm, other)
        assert {name: metric.value for name, metric in found.items()} == {
            name: metric.value for name, metric in plain.items()
        }
        assert found["chrf"] != plain["chrf"]
