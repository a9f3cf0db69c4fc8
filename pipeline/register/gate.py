"""The gate: whether a fine-tuned model becomes the champion, by checks that each say what was found."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.holdout.reuse import Use
from pipeline.params import Register
from pipeline.register.power import smallest
from pipeline.stats.label_counts import Counts
from pipeline.stats.paired_comparison import Comparison, corrected
from pipeline.stats.paired_proportions import chance_loss, surely_better

Outcome = Literal["promote", "keep", "unchanged"]

CHAMPION = "champion"
CALLED = {"zero_shot": "the base model", CHAMPION: "the champion"}
"""Arms that people call by another name than the table does."""
ROWS = "held-out rows"
"""The check that counts the decisions."""
SAME = "these weights are the champion's, byte for byte"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: its name, whether it passed, and what was found in a sentence."""

    check: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Decision:
    """What the gate decides, and by which checks.

    `promote`: becomes the champion. `keep`: recorded, but the champion stays. `unchanged`: it is the champion already.
    """

    outcome: Outcome
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What was found, in words."""
        return tuple(check.text for check in self.checks)


def decide(
    comparisons: Mapping[str, Mapping[str, Any]],
    register: Register,
    *,
    use: Use,
    is_champion: bool,
    lost: Mapping[str, Any] | None = None,
) -> Decision:
    """Decide by all checks: one that fails keeps the model back.

    It has to be surely better than *every* other arm, the champion and each baseline that does without fine-tuning. All
    of them, not the best one: that would be chosen by the rows that it is then compared on. And since all have to be
    beaten, no p-value is corrected for their number (see `comparisons.corrected`).

    Args:
        comparisons: The fine-tuned model against each other arm, by the arm's name.
        register: The gate's rule.
        use: How often the test rows decided.
        is_champion: Whether these very weights are the champion's.
        lost: What the model forgot, as `forgetting.json` has it; None if nobody looked.
    """
    if is_champion:
        return Decision("unchanged", (Check("weights", passed=True, text=SAME),))
    checks = [*gains(comparisons, register)]
    if CHAMPION in comparisons:
        checks += classes({label: Counts(**one) for label, one in comparisons[CHAMPION]["classes"].items()}, register)
    if lost is not None:
        checks += kept(lost, register)
    checks.append(unspent(use, register.max_holdout_uses))
    return Decision("promote" if all(check.passed for check in checks) else "keep", tuple(checks))


def unspent(use: Use, limit: int) -> Check:
    """Check whether the test rows still tell anything: not after so many models were judged by them."""
    rows = f"on average of {use.rows:,} rows, of which {use.fresh:,} never decided before"
    if use.decisions <= limit:
        left = f"{short(limit - use.decisions)} of {limit} are left"
        return Check(ROWS, passed=True, text=f"decision {short(use.decisions)} by these test rows, {rows}; {left}")
    found = f"the test rows are used up: decision {short(use.decisions)} by them, {rows}; at most {limit} are allowed"
    do = "bring fresh ones: a source with `split: test`, or some by another validate.salt"
    return Check(ROWS, passed=False, text=f"{found}, since models chosen by the same rows fit them by chance; {do}")


def short(count: float) -> str:
    """Write a count that may be an average."""
    return f"{round(count, 1):g}"


def gains(comparisons: Mapping[str, Mapping[str, Any]], register: Register) -> Iterator[Check]:
    """Check against each other arm whether the gain is surely above the least; a tie is not."""
    if not comparisons:
        yield Check(
            "gain", passed=False, text="there was nothing to compare with: no baseline and no champion answered"
        )
    for name, values in comparisons.items():
        found = Comparison.read(values)
        passed = surely_more(found, margin=register.min_gain, confidence=register.confidence)
        yield Check(f"gain over {name}", passed, told(name, found, register, passed=passed))


def surely_more(found: Comparison, *, margin: float, confidence: float) -> bool:
    """Say whether the first arm is surely better by more than a margin of 0 or above: interval and p-value agree."""
    if found.method == "score":
        sure = surely_better(found.better, found.worse, found.n, margin=margin, confidence=confidence)
        return bool(sure)
    return found.low > margin and found.p_value <= 1 - confidence


def told(name: str, found: Comparison, register: Register, *, passed: bool) -> str:
    """Say how much better the model is than an arm, what was needed, and what so many rows could have shown."""
    text = (
        f"{'surely' if passed else 'not surely'} better than {CALLED.get(name, name)}: {found.metric} "
        f"{found.difference:+.3f} ({100 * register.confidence:g}% interval {found.low:+.3f} to {found.high:+.3f}, "
        f"n={found.n}, p={found.p_value:.2g}); needed: above {register.min_gain:+.3f}"
    )
    if passed:
        return text
    least = smallest(found, margin=register.min_gain, confidence=register.confidence)
    if least is None:
        return f"{text}; so few rows can show no gain at all"
    return f"{text}; so many rows show a true gain of {least:.3f} or more in four cases of five"


def classes(found: Mapping[str, Counts], register: Register) -> Iterator[Check]:
    """Check whether some label became worse than the champion's, whatever the average did.

    Against the champion alone: what no champion had, nobody loses. A label became worse if its F1 fell, and if more of
    its rows are lost than chance takes, by an exact one-sided test: of the rows that one model alone has right, as many
    as a fair coin would give. (Rows alone are not enough: a model that answered everything with one label had all of
    that label's rows.) By either of two rules:

    - surely: the p-value, corrected for the number of labels, is at most 1 - confidence;
    - visibly: more than `max_label_regression` of its rows are lost, net, and its own p-value is at most that. With
      ten rows a label few losses are ever sure among many labels; a label that collapses is stopped all the same.
    """
    limit, fell = 1 - register.confidence, {label for label, one in found.items() if one.tuned_f1 < one.other_f1}
    raw = {label: float(chance_loss(one.better, one.worse)) for label, one in found.items()}
    sure = dict(zip(raw, corrected(list(raw.values())), strict=True))
    seen = {label for label, one in found.items() if one.worse - one.better > register.max_label_regression * one.n}
    lost = [label for label in found if label in fell and (raw[label] if label in seen else sure[label]) <= limit]
    for label in lost:
        chance = f"p={raw[label]:.2g}, corrected for {len(found)} labels {sure[label]:.2g}"
        yield Check(f"class {label}", passed=False, text=f"{worse(label, found[label])} ({chance})")
    if found and not lost:
        yield Check("classes", passed=True, text=f"no label became worse than the champion's; {blind(found, limit)}")


def worse(label: str, found: Counts) -> str:
    """Say what a label had and what it has."""
    rows = f"{found.tuned} of {found.n} rows right, before {found.other}"
    return f"{label!r} became worse than the champion's: {rows}; F1 {found.tuned_f1:.2f}, before {found.other_f1:.2f}"


def blind(found: Mapping[str, Counts], limit: float) -> str:
    """Say which losses no check can see: fewer rows than a fair coin may lose in a row."""
    needed = math.ceil(math.log2(1 / limit) - 1e-9)
    few = [label for label, one in found.items() if one.n < needed]
    rows = f"fewer than {needed} rows lost in a label could be chance"
    return f"{rows}, and {len(few)} of {len(found)} labels have no more" if few else rows


LESS = "lower finetune.learning_rate or train fewer epochs, or mix general rows into the pairs"


def kept(lost: Mapping[str, Any], register: Register) -> Iterator[Check]:
    """Check what was forgotten, by general texts and by general questions; what there is none of is told.

    - Texts: the loss surely rose by no more than `max_forgetting_nats`: the upper end of its interval. A few dozen
      texts, paired, tell that to a few hundredths, so the model has to show it.
    - Questions: no more than `max_question_regression` of them are lost, net, unless chance explains it by an exact
      one-sided test. So few answers prove little either way: what collapses is stopped.
    """
    texts, questions = lost.get("texts"), lost.get("questions")
    yield by_texts(texts, register.max_forgetting_nats) if texts else unseen("texts")
    yield by_questions(questions, register) if questions else unseen("questions")


def unseen(what: str) -> Check:
    """Say what was not looked at."""
    return Check(f"forgetting: {what}", passed=True, text=f"nobody looked at general {what}: there are none")


def by_texts(texts: Mapping[str, Any], limit: float) -> Check:
    """Check the loss on texts."""
    rise, passed = texts["rise"], texts["rise"]["high"] <= limit
    rose = "rose surely by no more than" if passed else "may have risen by more than"
    found = (
        f"the loss on {texts['n']} general texts {rose} {limit:g} nats a token: {rise['value']:+.3f} "
        f"({rise['low']:+.3f} to {rise['high']:+.3f}), from {texts['before']['value']:.3f} to "
        f"{texts['after']['value']:.3f}"
    )
    return Check("forgetting: texts", passed, found if passed else f"{found}; {LESS}")


def by_questions(questions: Mapping[str, Any], register: Register) -> Check:
    """Check the answers to questions."""
    change, limit = Comparison.read(questions["change"]), register.max_question_regression
    chance = float(chance_loss(change.better, change.worse))
    failed = -change.difference > limit and chance <= 1 - register.confidence
    before, after = (round(questions[when]["value"] * questions["n"]) for when in ("before", "after"))
    found = (
        f"of {questions['n']} general questions the base model answers {before} rightly, the fine-tuned one {after}: "
        f"{change.difference:+.3f} ({change.low:+.3f} to {change.high:+.3f}, one-sided p={chance:.2g}); "
        f"at most {limit:g} may be lost"
    )
    return Check("forgetting: questions", not failed, f"{found}; {LESS}" if failed else found)
