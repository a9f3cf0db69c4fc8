"""The gate: whether a fine-tuned model becomes the champion, by checks that each say what was found."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.arms import BASE, CHAMPION
from pipeline.holdout.reuse import HoldoutUse
from pipeline.params import Register
from pipeline.register.power import minimum_detectable
from pipeline.stats.label_counts import LabelCounts
from pipeline.stats.paired_comparison import Comparison, holm_corrected
from pipeline.stats.paired_proportions import one_sided_p_value, significantly_better

GateOutcome = Literal["promote", "keep", "unchanged"]

ARM_NAMES = {BASE: "the base model", CHAMPION: "the champion"}
"""Arms that people call by another name than the table does."""
HOLDOUT_CHECK = "held-out rows"
"""The check that counts the decisions."""
SAME_WEIGHTS = "these weights are the champion's, byte for byte"


@dataclass(frozen=True)
class GateCheck:
    """One thing that was looked at: its name, whether it passed, and what was found in a sentence."""

    check: str
    passed: bool
    text: str


@dataclass(frozen=True)
class GateDecision:
    """What the gate decides, and by which checks.

    `promote`: becomes the champion. `keep`: recorded, but the champion stays. `unchanged`: it is the champion already.
    """

    outcome: GateOutcome
    checks: tuple[GateCheck, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What was found, in words."""
        return tuple(check.text for check in self.checks)


def apply_gate(
    comparisons: Mapping[str, Mapping[str, Any]],
    register: Register,
    *,
    use: HoldoutUse,
    is_champion: bool,
    lost: Mapping[str, Any] | None = None,
) -> GateDecision:
    """Decide by all checks: one that fails keeps the model back.

    It has to be significantly better than *every* other arm, the champion and each baseline that does without
    fine-tuning. All of them, not the best one: that would be chosen by the rows that it is then compared on. And since
    all have to be beaten, no p-value is corrected for their number (see `holm_corrected`).

    Args:
        comparisons: The fine-tuned model against each other arm, by the arm's name.
        register: The gate's rule.
        use: How often the test rows decided.
        is_champion: Whether these very weights are the champion's.
        lost: What the model forgot, as `forgetting.json` has it; None if nobody looked.
    """
    if is_champion:
        return GateDecision("unchanged", (GateCheck("weights", passed=True, text=SAME_WEIGHTS),))
    checks = [*check_gains(comparisons, register)]
    if CHAMPION in comparisons:
        checks += check_labels(
            {label: LabelCounts(**one) for label, one in comparisons[CHAMPION]["classes"].items()}, register
        )
    if lost is not None:
        checks += check_forgetting(lost, register)
    checks.append(check_holdout_uses(use, register.max_holdout_uses))
    return GateDecision("promote" if all(check.passed for check in checks) else "keep", tuple(checks))


def check_holdout_uses(use: HoldoutUse, limit: int) -> GateCheck:
    """Check whether the test rows still tell anything: not after so many models were judged by them."""
    count = f"holdout use {format_count(use.decisions)} of {limit}"
    rows = f"the mean over {use.rows:,} test rows, {use.fresh:,} of them used for the first time"
    if use.decisions <= limit:
        return GateCheck(HOLDOUT_CHECK, passed=True, text=f"{count}, {rows}")
    sentence = f"the test rows are used up: {count}, {rows}"
    do = "bring fresh ones: a source with `split: test`, or some by another validate.salt"
    return GateCheck(
        HOLDOUT_CHECK, passed=False, text=f"{sentence}; models chosen by the same rows fit them by chance; {do}"
    )


def format_count(count: float) -> str:
    """Write a count that may be an average."""
    return f"{round(count, 1):g}"


def check_gains(comparisons: Mapping[str, Mapping[str, Any]], register: Register) -> Iterator[GateCheck]:
    """Check against each other arm whether the gain is significantly above the least; a tie is not."""
    if not comparisons:
        yield GateCheck(
            "gain", passed=False, text="there was nothing to compare with: no baseline and no champion answered"
        )
    for name, values in comparisons.items():
        comparison = Comparison.from_dict(values)
        passed = is_significant_gain(comparison, margin=register.min_gain, confidence=register.confidence)
        yield GateCheck(f"gain over {name}", passed, gain_sentence(name, comparison, register, passed=passed))


def is_significant_gain(comparison: Comparison, *, margin: float, confidence: float) -> bool:
    """Say whether the first arm is significantly better by more than a margin >= 0: interval and p-value agree."""
    if comparison.method == "score":
        sure = significantly_better(
            comparison.better, comparison.worse, comparison.n, margin=margin, confidence=confidence
        )
        return bool(sure)
    return comparison.low > margin and comparison.p_value <= 1 - confidence


def gain_sentence(name: str, comparison: Comparison, register: Register, *, passed: bool) -> str:
    """Say how much better the model is than an arm, what was needed, and what so many rows could have shown."""
    text = (
        f"{'significantly' if passed else 'not significantly'} better than {ARM_NAMES.get(name, name)}: "
        f"{comparison.metric} {comparison.difference:+.3f} "
        f"({100 * register.confidence:g}% interval {comparison.low:+.3f} to {comparison.high:+.3f}, "
        f"n={comparison.n}, p={comparison.p_value:.2g}); needed: above {register.min_gain:+.3f}"
    )
    if passed:
        return text
    least = minimum_detectable(comparison, margin=register.min_gain, confidence=register.confidence)
    if least is None:
        return f"{text}; so few rows can show no gain at all"
    return f"{text}; so many rows show a true gain of {least:.3f} or more in four cases of five"


def check_labels(counts: Mapping[str, LabelCounts], register: Register) -> Iterator[GateCheck]:
    """Check whether some label became worse than the champion's, whatever the average did.

    Against the champion alone: what no champion had, nobody loses. A label became worse if its F1 fell, and if more of
    its rows are lost than chance takes, by an exact one-sided test: of the rows that one model alone has right, as many
    as a fair coin would give. (Rows alone are not enough: a model that answered everything with one label had all of
    that label's rows.) By either of two rules:

    - significantly: the p-value, corrected for the number of labels, is at most 1 - confidence;
    - visibly: more than `max_label_regression` of its rows are lost, net, and its own p-value is at most that. With
      ten rows a label few losses are ever sure among many labels; a label that collapses is stopped all the same.
    """
    limit, fell = 1 - register.confidence, {label for label, one in counts.items() if one.tuned_f1 < one.other_f1}
    raw = {label: float(one_sided_p_value(one.better, one.worse)) for label, one in counts.items()}
    sure = dict(zip(raw, holm_corrected(list(raw.values())), strict=True))
    seen = {label for label, one in counts.items() if one.worse - one.better > register.max_label_regression * one.n}
    lost = [label for label in counts if label in fell and (raw[label] if label in seen else sure[label]) <= limit]
    for label in lost:
        chance = f"p={raw[label]:.2g}, corrected for {len(counts)} labels {sure[label]:.2g}"
        yield GateCheck(
            f"class {label}", passed=False, text=f"{label_regression_phrase(label, counts[label])} ({chance})"
        )
    if counts and not lost:
        yield GateCheck(
            "classes",
            passed=True,
            text=f"no label became worse than the champion's; {undetectable_phrase(counts, limit)}",
        )


def label_regression_phrase(label: str, counts: LabelCounts) -> str:
    """Say what a label had and what it has."""
    rows = f"{counts.tuned} of {counts.n} rows right, before {counts.other}"
    return f"{label!r} became worse than the champion's: {rows}; F1 {counts.tuned_f1:.2f}, before {counts.other_f1:.2f}"


def undetectable_phrase(counts: Mapping[str, LabelCounts], limit: float) -> str:
    """Say which losses no check can see: fewer rows than a fair coin may lose in a row."""
    needed = math.ceil(math.log2(1 / limit) - 1e-9)
    few = [label for label, one in counts.items() if one.n < needed]
    rows = f"fewer than {needed} rows lost in a label could be chance"
    return f"{rows}, and {len(few)} of {len(counts)} labels have no more" if few else rows


FORGETTING_REMEDY = "lower finetune.learning_rate or train fewer epochs, or mix general rows into the pairs"


def check_forgetting(lost: Mapping[str, Any], register: Register) -> Iterator[GateCheck]:
    """Check what was forgotten, by general texts and by general questions; what there is none of is told.

    - Texts: the loss rose by no more than `max_forgetting_nats`: the upper end of its interval. A few dozen
      texts, paired, tell that to a few hundredths, so the model has to show it.
    - Questions: no more than `max_question_regression` of them are lost, net, unless chance explains it by an exact
      one-sided test. So few answers prove little either way: what collapses is stopped.
    """
    texts, questions = lost.get("texts"), lost.get("questions")
    yield check_texts(texts, register.max_forgetting_nats) if texts else unmeasured_check("texts")
    yield check_questions(questions, register) if questions else unmeasured_check("questions")


def unmeasured_check(what: str) -> GateCheck:
    """Say what was not looked at."""
    return GateCheck(f"forgetting: {what}", passed=True, text=f"nobody looked at general {what}: there are none")


def check_texts(texts: Mapping[str, Any], limit: float) -> GateCheck:
    """Check the loss on texts."""
    rise, passed = texts["rise"], texts["rise"]["high"] <= limit
    rose = "rose by no more than" if passed else "may have risen by more than"
    sentence = (
        f"the loss on {texts['n']} general texts {rose} {limit:g} nats a token: {rise['value']:+.3f} "
        f"({rise['low']:+.3f} to {rise['high']:+.3f}), from {texts['before']['value']:.3f} to "
        f"{texts['after']['value']:.3f}"
    )
    return GateCheck("forgetting: texts", passed, sentence if passed else f"{sentence}; {FORGETTING_REMEDY}")


def check_questions(questions: Mapping[str, Any], register: Register) -> GateCheck:
    """Check the answers to questions."""
    change, limit = Comparison.from_dict(questions["change"]), register.max_question_regression
    chance = float(one_sided_p_value(change.better, change.worse))
    failed = -change.difference > limit and chance <= 1 - register.confidence
    before, after = (round(questions[when]["value"] * questions["n"]) for when in ("before", "after"))
    sentence = (
        f"of {questions['n']} general questions the base model answers {before} rightly, the fine-tuned one {after}: "
        f"{change.difference:+.3f} ({change.low:+.3f} to {change.high:+.3f}, one-sided p={chance:.2g}); "
        f"at most {limit:g} may be lost"
    )
    return GateCheck("forgetting: questions", not failed, f"{sentence}; {FORGETTING_REMEDY}" if failed else sentence)
