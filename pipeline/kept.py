"""Whether a fine-tuned model kept what its base knew: checks of the gate on what was forgotten."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.comparisons import Comparison
from pipeline.discordance import chance_loss
from pipeline.params import Register

LESS = "lower finetune.learning_rate or train fewer epochs, or mix general rows into the pairs"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: its name, whether it passed, and what was found in a sentence."""

    check: str
    passed: bool
    text: str


def kept(lost: Mapping[str, Any], register: Register) -> Iterator[Check]:
    """Check what was forgotten, by general texts and by general questions; what there is none of is told.

    - Texts: the loss surely rose by no more than `max_loss_rise`: the upper end of its interval. A few dozen texts,
      paired, tell that to a few hundredths, so the model has to show it.
    - Questions: no more than `max_question_loss` of them are lost, net, unless chance explains it by an exact one-sided
      test. So few right or wrong answers prove little either way: what collapses is stopped, the rest the texts see.
    """
    texts, questions = lost.get("texts"), lost.get("questions")
    yield by_texts(texts, register.max_loss_rise) if texts else unseen("texts")
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
    change, limit = Comparison.read(questions["change"]), register.max_question_loss
    chance = float(chance_loss(change.better, change.worse))
    failed = -change.difference > limit and chance <= 1 - register.confidence
    before, after = (round(questions[when]["value"] * questions["n"]) for when in ("before", "after"))
    found = (
        f"of {questions['n']} general questions the base model answers {before} rightly, the fine-tuned one {after}: "
        f"{change.difference:+.3f} ({change.low:+.3f} to {change.high:+.3f}, one-sided p={chance:.2g}); "
        f"at most {limit:g} may be lost"
    )
    return Check("forgetting: questions", not failed, f"{found}; {LESS}" if failed else found)
