"""Laws of the verdict: which rule holds when, what a person reads, and that enough rows settle it."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from pipeline.holdout.reuse import HoldoutUse
from pipeline.register.baseline_comparison import BaselineComparison
from pipeline.register.verdict import Verdict, apply_rules, decide_verdict
from pipeline.stats.paired_comparison import Comparison
from tests.support.comparisons import metrics, rule

FAR, NEAR, LEVEL, BEHIND, SHORT = (60, 2), (12, 2), (5, 5), (2, 30), (9, 4)


def verdict(n: int, baselines: dict[str, tuple[int, int]], **replaced: Any) -> Verdict:
    """What is said of n rows, half of them right, by what the fine-tuned model and each baseline alone have right."""
    register = rule(**replaced)
    return decide_verdict(metrics(n, n // 2, baselines, register), register)


@pytest.mark.parametrize(
    ("n", "baselines", "rules", "answer", "baseline"),
    [
        (175, {"zero_shot": FAR}, {}, "ship", None),
        (175, {"zero_shot": FAR, "tfidf": NEAR}, {}, "ship", None),
        (175, {"zero_shot": FAR, "tfidf": NEAR}, {"min_gain": 0.05, "non_inferiority_margin": 0.05}, "unsure", None),
        (175, {"zero_shot": FAR, "tfidf": SHORT}, {}, "unsure", None),
        (175, {"zero_shot": FAR, "tfidf": LEVEL}, {}, "unsure", None),
        (175, {"zero_shot": FAR, "tfidf": BEHIND}, {}, "baseline", "tfidf"),
        (175, {"zero_shot": FAR, "tfidf": BEHIND, "embedding": (2, 40)}, {}, "baseline", "embedding"),
        (175, {"zero_shot": FAR, "hosted": BEHIND}, {}, "baseline", "hosted"),
        (2000, {"zero_shot": FAR, "few_shot": LEVEL, "tfidf": LEVEL}, {}, "baseline", "tfidf"),
        (2000, {"zero_shot": FAR, "hosted": LEVEL}, {}, "unsure", None),
        (2000, {"zero_shot": FAR, "tfidf": (9, 4), "few_shot_bm25": BEHIND}, {}, "baseline", "few_shot_bm25"),
        (175, {"zero_shot": FAR, "champion": BEHIND}, {}, "ship", None),
        (175, {"champion": FAR}, {}, "unsure", None),
        (175, {}, {}, "unsure", None),
    ],
)
def test_one_rule_holds(
    n: int, baselines: dict[str, tuple[int, int]], rules: dict[str, float], answer: str, baseline: str | None
) -> None:
    """Ship what beats all; else use what is significantly better, else the cheapest non-inferior; else undecided."""
    found = verdict(n, baselines, **rules)
    assert (found.answer, found.baseline) == (answer, baseline)


def test_the_paragraph_of_a_model_to_ship() -> None:
    """What to do, the numbers of both with their intervals and n, the difference, and what could have been shown."""
    assert verdict(175, {"zero_shot": FAR, "tfidf": (30, 8)}).text == (
        "Ship the fine-tuned model: it is significantly better than every baseline (the base model, tfidf). "
        "On 175 held-out test rows, the fine-tuned model has accuracy 49.7 % (95 % interval 42.4 to 57.0); "
        "tfidf, the best of 2 baselines, 37.1 % (95 % interval 30.3 to 44.5). "
        "That is +12.6 points (95 % interval +6.0 to +19.6). "
        "A test of this size shows a true gain of 10.2 points or more in four cases of five."
    )


@pytest.mark.parametrize(
    ("n", "baselines", "rules", "opening"),
    [
        (175, {"zero_shot": FAR}, {"min_gain": 0.05, "non_inferiority_margin": 0.05},
         "Ship the fine-tuned model: it is significantly better by more than 5.0 points than every baseline ("),
        (175, {"zero_shot": BEHIND}, {},
         "Use the base model instead: it is significantly better than the fine-tuned model."),
        (2000, {"zero_shot": FAR, "tfidf": LEVEL}, {},
         ("Use tfidf instead: it needs no training of its own and is non-inferior, significantly less than 2.0 "
          "points behind.")),
        (2000, {"hosted": LEVEL}, {},
         "Not enough evidence, and as the differences stand no number of test rows would settle it."),
        (175, {"champion": FAR}, {}, "Not enough evidence: no baseline answered that does without fine-tuning."),
    ],
)  # fmt: skip
def test_the_first_sentence_says_what_to_do(
    n: int, baselines: dict[str, tuple[int, int]], rules: dict[str, float], opening: str
) -> None:
    """By the rule that held."""
    assert verdict(n, baselines, **rules).text.startswith(opening)


def test_too_little_evidence_says_how_many_rows_are_missing() -> None:
    """And what the rows that there are could have shown."""
    found = verdict(175, {"zero_shot": FAR, "tfidf": SHORT})
    assert found.more_rows is not None
    assert found.text.startswith(
        f"Not enough evidence: you need about {found.more_rows:,} more test rows, if the differences stay as they are."
    )
    assert found.smallest is not None
    assert f"a true gain of {100 * found.smallest:.1f} points or more in four cases of five" in found.text
    few = verdict(5, {"zero_shot": (2, 0)})
    assert (few.smallest, few.text.endswith("So few test rows can show no gain at all.")) == (None, True)


@pytest.mark.parametrize("apart", [SHORT, LEVEL, (12, 6)])
def test_the_rows_that_it_asks_for_settle_it(apart: tuple[int, int]) -> None:
    """Seeded test sets of that size, drawn with the shares that were seen, are settled about four times in five."""
    found = verdict(175, {"tfidf": apart})
    assert found.more_rows is not None
    n, random = 175 + found.more_rows, np.random.default_rng(4)
    shares = [apart[0] / 175, apart[1] / 175, 1 - sum(apart) / 175]
    settled = [
        settled_by(n, "tfidf", int(better), int(worse)) != "unsure"
        for better, worse, _ in random.multinomial(n, shares, 60)
    ]
    assert 0.8 - 3 * np.sqrt(0.16 / 60) <= np.mean(settled)


@cache
def settled_by(n: int, baseline: str, better: int, worse: int) -> str:
    """The answer alone, without what costs time: how many rows would settle it."""
    found = metrics(n, n // 2, {baseline: (better, worse)})
    return apply_rules(
        BaselineComparison({baseline: Comparison.from_dict(found["comparisons"][baseline])}, found["arms"], rule())
    )[0]


def test_the_table_has_every_arm_without_the_champion_and_a_word_for_each() -> None:
    """The best first; of each baseline its difference with interval, its p-value corrected, and what is sure of it."""
    found = verdict(2000, {"zero_shot": FAR, "champion": FAR, "tfidf": LEVEL, "hosted": (40, 45), "few_shot": (30, 70)})
    assert [(line.arm, line.word) for line in found.table] == [
        ("few_shot", "better"), ("hosted", "undecided"), ("tfidf", "non-inferior"), ("fine-tuned", "fine-tuned"),
        ("zero_shot", "beaten"),
    ]  # fmt: skip
    shots, tuned = found.table[0], found.table[3]
    assert (shots.difference, shots.value, shots.n) == (-0.02, 0.52, 2000)
    assert shots.difference_low is not None
    assert shots.difference_low < -0.02
    raw = metrics(2000, 1000, {"few_shot": (30, 70)})["comparisons"]["few_shot"]["p_value"]
    assert shots.p_value == pytest.approx(3 * raw)
    assert (tuned.value, tuned.difference, tuned.p_value) == (0.5, None, None)


def test_what_ships_has_beaten_all() -> None:
    """Though a p-value corrected for the number of baselines alone would leave some open: all have to be beaten."""
    found = verdict(175, {"zero_shot": FAR, "tfidf": (6, 0), "few_shot": (7, 0), "best_prompt": (6, 0)})
    assert found.answer == "ship"
    assert {line.word for line in found.table} == {"fine-tuned", "beaten"}
    assert max(line.p_value for line in found.table if line.p_value is not None) > 0.05


def test_equal_models_are_seldom_shipped_or_replaced() -> None:
    """Of 200 seeded baselines that are as good in truth, with 175 rows, each is wrongly beaten or better in few."""
    draws = np.random.default_rng(8).multinomial(175, [0.1, 0.1, 0.8], 200)
    found = [settled_by(175, "hosted", int(one), int(other)) for one, other, _ in draws]
    most = 0.025 + 2 * np.sqrt(0.025 * 0.975 / 200)
    assert found.count("ship") / 200 <= most
    assert found.count("baseline") / 200 <= most


@pytest.mark.parametrize(("decisions", "answer"), [(1.0, "ship"), (20.0, "ship"), (20.5, "unsure"), (40.0, "unsure")])
def test_rows_that_decided_too_often_ship_nothing(decisions: float, answer: str) -> None:
    """Past the limit it says so and asks for fresh rows; so many more of the same would not settle it."""
    register = rule()
    found = decide_verdict(metrics(175, 87, {"zero_shot": FAR}, register), register, HoldoutUse(175, 0, decisions))
    assert (found.answer, found.more_rows) == (answer, None)
    assert ("bring fresh ones" in found.text) is (answer == "unsure")
    assert found.text.startswith(
        "Ship" if answer == "ship" else "Not enough evidence. These test rows have decided about"
    )


def test_worn_rows_may_still_speak_for_a_baseline() -> None:
    """What wears them speaks for the fine-tuned model, so a baseline that is better all the same is."""
    register = rule()
    found = decide_verdict(
        metrics(175, 87, {"zero_shot": FAR, "tfidf": BEHIND}, register), register, HoldoutUse(175, 0, 40.0)
    )
    assert (found.answer, found.baseline) == ("baseline", "tfidf")
    assert "than the fine-tuned model. These test rows have decided about 40 models, more than the 20" in found.text
