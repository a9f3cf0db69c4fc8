"""Laws of the gate: what promotes, what does not, and what is said of it."""

import json
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from pipeline.holdout.reuse import HoldoutUse
from pipeline.register.gate import GateCheck, GateDecision, apply_gate
from pipeline.stats.label_counts import LabelCounts
from pipeline.stats.paired_comparison import compare_scores
from tests.support.comparisons import FRESH, TERMS, answered, beside, metrics, rule, written
from tests.support.paths import PROJECT

USED = "holdout use 1 of 20, the mean over 175 test rows, 175 of them used for the first time"
WON, TIED, LOST, CLOSE = (60, 2), (9, 9), (2, 60), (30, 12)


def outcome(baselines: dict[str, tuple[int, int]], **replaced: Any) -> str:
    """What the gate makes of 175 rows, 100 of them right."""
    register = rule(**replaced)
    return apply_gate(
        metrics(175, 100, baselines, register)["comparisons"], register, use=FRESH, is_champion=False
    ).outcome


@pytest.mark.parametrize(
    ("baselines", "min_gain", "wanted"),
    [
        ({"zero_shot": WON}, 0.0, "promote"),
        ({"zero_shot": TIED}, 0.0, "keep"),
        ({"zero_shot": (0, 0)}, 0.0, "keep"),
        ({"zero_shot": LOST}, 0.0, "keep"),
        ({"zero_shot": CLOSE}, 0.0, "promote"),
        ({"zero_shot": CLOSE}, 0.05, "keep"),
        ({"zero_shot": WON}, 0.05, "promote"),
        ({"zero_shot": WON, "tfidf": WON, "majority": WON}, 0.0, "promote"),
        ({"zero_shot": WON, "tfidf": TIED, "majority": WON}, 0.0, "keep"),
        ({"zero_shot": WON, "champion": TIED}, 0.0, "keep"),
        ({"zero_shot": LOST, "champion": WON}, 0.0, "keep"),
        ({"champion": WON}, 0.0, "promote"),
        ({}, 0.0, "keep"),
    ],
)
def test_only_a_sure_gain_over_every_other_arm_promotes(
    baselines: dict[str, tuple[int, int]], min_gain: float, wanted: str
) -> None:
    """The gain must lie significantly above the least, against each arm: a tie does not promote, nor does nothing."""
    assert outcome(baselines, min_gain=min_gain, non_inferiority_margin=0.1, max_label_regression=0.9) == wanted


def test_a_surer_gate_wants_more() -> None:
    """Six rows to none are sure at 95 %, not at 99 %."""
    assert outcome({"zero_shot": (6, 0)}) == "promote"
    assert outcome({"zero_shot": (6, 0)}, confidence=0.99) == "keep"
    assert outcome({"zero_shot": (5, 0)}) == "keep"


def test_each_check_says_what_was_found_and_needed() -> None:
    """In numbers: the gain, its interval, its n, its p-value, the least; and what so many rows could have shown."""
    found = apply_gate(
        metrics(175, 100, {"zero_shot": WON, "champion": TIED})["comparisons"], rule(), use=FRESH, is_champion=False
    )
    assert [(check.check, check.passed) for check in found.checks] == [
        ("gain over zero_shot", True), ("gain over champion", False), ("classes", True), ("held-out rows", True),
    ]  # fmt: skip
    won = "accuracy +0.331 (95% interval +0.260 to +0.407, n=175, p=8.5e-16); needed: above +0.000"
    tied = "accuracy +0.000 (95% interval -0.051 to +0.051, n=175, p=1); needed: above +0.000"
    power = "so many rows show a true gain of 0.069 or more in four cases of five"
    assert found.reasons == (
        f"significantly better than the base model: {won}",
        f"not significantly better than the champion: {tied}; {power}",
        "no label became worse than the champion's; fewer than 5 rows lost in a label could be chance",
        USED,
    )


def test_too_few_rows_are_called_so() -> None:
    """Five rows can show no gain, however it goes."""
    check, _ = apply_gate(
        metrics(5, 5, {"zero_shot": (5, 0)})["comparisons"], rule(), use=FRESH, is_champion=False
    ).checks
    assert check.text.endswith("needed: above +0.000; so few rows can show no gain at all")


def test_nothing_to_compare_with_is_no_pass() -> None:
    """Without any other arm the model is kept back, and the reason is told."""
    text = "there was nothing to compare with: no baseline and no champion answered"
    assert apply_gate({}, rule(), use=FRESH, is_champion=False) == GateDecision(
        "keep", (GateCheck("gain", passed=False, text=text), GateCheck("held-out rows", passed=True, text=USED))
    )


def test_the_champion_itself_is_unchanged_whatever_the_numbers() -> None:
    """The champion's own weights are neither promoted nor refused."""
    found = apply_gate(
        metrics(175, 100, {"zero_shot": WON, "champion": TIED})["comparisons"], rule(), use=FRESH, is_champion=True
    )
    assert (found.outcome, found.reasons) == ("unchanged", ("these weights are the champion's, byte for byte",))


@pytest.mark.parametrize(("decisions", "wanted"), [(1.0, "promote"), (3.0, "promote"), (3.1, "keep"), (40.0, "keep")])
def test_rows_that_decided_too_often_promote_nobody(decisions: float, wanted: str) -> None:
    """However much better the model is; fresh rows among them count as such, since an average is what is limited."""
    found = apply_gate(
        metrics(175, 100, {"zero_shot": WON})["comparisons"], rule(max_holdout_uses=3),
        use=HoldoutUse(175, 0, decisions),
        is_champion=False,
    )  # fmt: skip
    assert found.outcome == wanted
    assert [check.check for check in found.checks if not check.passed] == ["held-out rows"] * (wanted == "keep")


def test_used_up_rows_are_told_with_what_to_do() -> None:
    """How often they decided, how many are fresh, what is allowed, why, and where fresh ones come from."""
    found = apply_gate({}, rule(max_holdout_uses=3), use=HoldoutUse(1750, 20, 4.2468), is_champion=False)
    assert found.checks[-1].text == (
        "the test rows are used up: holdout use 4.2 of 3, the mean over 1,750 test rows, 20 of them used for the first "
        "time; models chosen by the same rows fit them by chance; bring fresh ones: a source with `split: test`, or "
        "some by another validate.salt"
    )


def of_labels(rows: int, changes: dict[str, tuple[int, int, int]], **replaced: Any) -> dict[str, GateCheck]:
    """The checks of a model that is far better on label "many", by what became of a few other labels.

    Args:
        rows: Rows of each of the other labels.
        changes: Of a label, the rows that the champion has right, those that only the new model has, and that only the
            champion has.
        replaced: Fields of the rule.
    """
    expected, new, old = ["many"] * 200, [1.0] * 200, [0.0] * 100 + [1.0] * 100
    for label, (right, better, worse) in changes.items():
        before = (np.arange(rows) < right).astype(float)
        expected += [label] * rows
        old += before.tolist()
        new += beside(before, worse, better).tolist()
    register = rule(**replaced)
    scores = {"fine-tuned": np.array(new), "champion": np.array(old)}
    found = apply_gate(written(expected, scores, register)["comparisons"], register, use=FRESH, is_champion=False)
    return {check.check: check for check in found.checks}


@pytest.mark.parametrize(
    ("rows", "change", "stopped"),
    [
        (12, (10, 0, 7), True),  # 10 of 12, now 3
        (12, (10, 0, 5), True),
        (12, (10, 0, 4), False),  # a fair coin does that once in 16 tries
        (12, (10, 1, 5), False),
        (12, (8, 3, 8), False),
        (5, (5, 0, 5), True),  # every row of it
        (4, (4, 0, 4), False),
        (100, (90, 2, 20), True),  # significantly, though fewer than a fifth of its rows
        (100, (90, 10, 20), False),
    ],
)
def test_a_label_that_became_worse_stops_the_model_and_is_named(
    rows: int, change: tuple[int, int, int], *, stopped: bool
) -> None:
    """Though the average is up: significantly worse after correction, or a fifth of the rows lost beyond chance."""
    checks = of_labels(rows, {"refund": change, **{f"label {n}": (rows // 2, 1, 1) for n in range(8)}})
    assert checks["gain over champion"].passed
    assert ("class refund" in checks) is stopped
    assert all(check.passed for check in checks.values()) is not stopped


def test_the_named_label_has_its_numbers() -> None:
    """How many rows were right before and now, and how often chance does that, alone and among so many labels."""
    told = of_labels(12, {"refund": (10, 0, 7), "other": (6, 1, 1)})["class refund"].text
    assert told == (
        "'refund' became worse than the champion's: 3 of 12 rows right, before 10; F1 0.40, before 0.91 "
        "(p=0.0078, corrected for 3 labels 0.023)"
    )


def test_the_limits_of_a_label_are_those_of_the_params() -> None:
    """A higher loss may be allowed, and a surer gate wants more before it stops."""
    change = {"refund": (10, 0, 5), **{f"label {n}": (6, 1, 1) for n in range(8)}}
    assert "class refund" in of_labels(12, change)
    assert "class refund" not in of_labels(12, change, max_label_regression=0.5)
    assert "class refund" not in of_labels(12, change, confidence=0.99)


def test_what_no_check_can_see_is_told() -> None:
    """Labels with fewer rows than chance may take in a row are counted."""
    told = of_labels(4, {"refund": (4, 0, 4)})["classes"].text
    assert told == (
        "no label became worse than the champion's; fewer than 5 rows lost in a label could be chance, "
        "and 1 of 2 labels have no more"
    )  # fmt: skip


@pytest.mark.parametrize("before", ["champion", "majority"])
def test_who_answered_everything_with_one_label_had_little_to_lose(before: str) -> None:
    """It had all rows of that label right and the new model has not, but the label's F1 rose: nothing became worse."""
    expected = ["a"] * 30 + ["b"] * 70
    answers = {"fine-tuned": ["a"] * 20 + ["b"] * 80, before: ["a"] * 100}
    found = apply_gate(answered(expected, answers, rule())["comparisons"], rule(), use=FRESH, is_champion=False)
    assert found.outcome == "promote"


def test_labels_are_held_against_the_champion_alone() -> None:
    """A label at which some baseline is better stops nothing, if the model is better on the whole."""
    expected = ["a"] * 30 + ["b"] * 70
    answers = {"fine-tuned": ["a"] * 15 + ["b"] * 85, "tfidf": ["a"] * 30 + ["none"] * 70}
    as_baseline, as_champion = (
        apply_gate(
            answered(expected, {**answers, name: answers["tfidf"]}, rule())["comparisons"],
            rule(),
            use=FRESH,
            is_champion=False,
        )
        for name in ("tfidf", "champion")
    )
    assert (as_baseline.outcome, as_champion.outcome) == ("promote", "keep")
    assert "class a" in [check.check for check in as_champion.checks]


@pytest.mark.parametrize(("n", "apart"), [(60, 0.3), (175, 0.3)])
def test_of_200_comparisons_of_equal_models_next_to_none_promotes(n: int, apart: float) -> None:
    """Rows are hard or easy for both models alike, and on some they differ: at most 5 of 100 pass, and noise."""
    random = np.random.default_rng(11)

    @cache
    def outcome(better: int, worse: int) -> str:
        found = compare_scores("accuracy", *rows_apart(n, better, worse), TERMS)
        return apply_gate({"champion": {**vars(found), "classes": {}}}, rule(), use=FRESH, is_champion=False).outcome

    promoted = 0
    for _ in range(200):
        hard, coin = random.random(n) < 0.4, random.random(n)
        differ = random.random(n) < apart
        new, old = (np.where(differ, chosen, ~hard) for chosen in (coin < 0.5, coin >= 0.5))
        promoted += outcome(int((new & ~old).sum()), int((old & ~new).sum())) == "promote"
    assert promoted / 200 <= 0.05 + 1.645 * math.sqrt(0.05 * 0.95 / 200)


def rows_apart(n: int, better: int, worse: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arms, of which either has so many rows right that the other has wrong, and half of the others both."""
    place = np.arange(n)
    both = (place >= better + worse) & (place % 2 == 0)
    return ((place < better) | both).astype(float), (((place >= better) & (place < better + worse)) | both).astype(
        float
    )


def test_equal_models_seldom_lose_a_label() -> None:
    """Of 200 pairs of equal models with ten labels of 17 rows, of which 3 in 10 differ, few have a label named."""
    random = np.random.default_rng(5)
    named = 0
    for _ in range(200):
        counts = random.multinomial(17, [0.15, 0.15, 0.7], 10)
        found = vars(compare_scores("accuracy", np.ones(170), np.zeros(170), TERMS))
        labels = {
            str(place): vars(LabelCounts(17, 9 + int(won - lost), 9, int(won), int(lost), 17, 17))
            for place, (won, lost, _) in enumerate(counts)
        }
        checks = apply_gate({"champion": {**found, "classes": labels}}, rule(), use=FRESH, is_champion=False).checks
        named += any(check.check.startswith("class ") for check in checks)
    assert named / 200 <= 0.15


def test_a_model_of_mislabelled_rows_is_stopped_by_the_label_though_the_average_is_up() -> None:
    """A real classifier of the demo's messages: trained on four times the rows, but one label's rows say another.

    It is significantly better than the champion on the whole, and is kept back with that label named; taught as they
    are, the same rows pass.
    """
    lines = (PROJECT / "data/demo/triage.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [(row["prompt"], row["completion"]) for row in map(json.loads, lines)]
    order = np.random.default_rng(1).permutation(len(rows))
    test, train = ([rows[place] for place in part] for part in (order[:300], order[300:]))
    poisoned = [(text, "order_status" if label == "delivery_problem" else label) for text, label in train]

    def answers(taught: list[tuple[str, str]]) -> list[str]:
        model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=30, max_iter=500))
        model.fit(*map(list, zip(*taught, strict=True)))
        return [str(label) for label in model.predict([text for text, _ in test])]

    def failed(taught: list[tuple[str, str]]) -> tuple[float, list[str]]:
        said = {"fine-tuned": answers(taught), "champion": answers(train[::4])}
        found = answered([label for _, label in test], said, rule())["comparisons"]
        checks = apply_gate(found, rule(), use=FRESH, is_champion=False).checks
        return found["champion"]["low"], [check.check for check in checks if not check.passed]

    honest, mislabelled = failed(train), failed(poisoned)
    assert min(honest[0], mislabelled[0]) > 0
    assert honest[1] == []
    assert "class delivery_problem" in mislabelled[1]
