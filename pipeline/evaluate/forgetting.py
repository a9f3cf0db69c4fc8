"""Forgetting: loss on general texts and accuracy on general questions, before and after the fine-tune."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.stats import t

from pipeline.arrays import Floats
from pipeline.evaluate.general_knowledge import ForgettingProbe, ProbeResult, run_probe
from pipeline.metrics.metric import proportion
from pipeline.stats.bootstrap import SHOWN_CONFIDENCE, bootstrap_draws, percentile_interval
from pipeline.stats.paired_comparison import ComparisonSettings, compare_scores

FEW_TEXTS = 20
"""Texts below which the bootstrap alone has too short an interval."""


def measure_forgetting(
    general: ForgettingProbe,
    before: Callable[[], Any],
    after: Callable[[], Any],
    tokenizer: Any,
    terms: ComparisonSettings,
) -> dict[str, Any]:
    """Measure what was forgotten.

    Args:
        general: Texts and questions; without any, no model is loaded.
        before: Gives the base model.
        after: Gives the fine-tuned one.
        tokenizer: Of both.
        terms: Of the intervals.

    Returns:
        What `forgetting.json` holds: of `texts` the loss in nats a token before and after, and its rise; of `questions`
        the share of right answers before and after, and its change; each null where there are none.
    """
    measured: dict[str, Any] = {"texts": None, "questions": None}
    texts, questions = general.texts, general.questions
    if texts or questions:
        first, second = (run_probe(model(), tokenizer, texts, questions) for model in (before, after))
        measured["texts"] = loss_increase(first, second, terms) if texts else None
        measured["questions"] = accuracy_change(first, second, terms) if questions else None
    return measured | {"digests": dict(general.digests)}


def loss_increase(before: ProbeResult, after: ProbeResult, terms: ComparisonSettings) -> dict[str, Any]:
    """Compare the loss of the same texts, in nats a token; the same texts are drawn for both (paired bootstrap)."""
    tokens = before.text_tokens

    def mean(losses: Floats) -> dict[str, Any]:
        draws = bootstrap_draws(
            lambda rows: losses[rows].sum(1) / tokens[rows].sum(1), len(tokens), terms.resamples, terms.seed
        )
        low, high = percentile_interval(draws, SHOWN_CONFIDENCE)
        value = float(losses.sum() / tokens.sum())
        reach = student_margin(losses, tokens) if len(tokens) < FEW_TEXTS else 0.0
        return {"value": value, "n": len(tokens), "low": min(low, value - reach), "high": max(high, value + reach)}

    losses = {"before": before.text_losses, "after": after.text_losses, "rise": after.text_losses - before.text_losses}
    return {"n": len(tokens), "tokens": int(tokens.sum()), **{name: mean(values) for name, values in losses.items()}}


def student_margin(losses: Floats, tokens: Floats) -> float:
    """Give how far the interval of a ratio reaches to either side by Student's t; so few draws alone reach too short.

    Args:
        losses: Of two texts at least; shape (texts,).
        tokens: Of each; shape (texts,).
    """
    n, ratio = len(tokens), losses.sum() / tokens.sum()
    error = np.sqrt(n / (n - 1) * ((losses - ratio * tokens) ** 2).sum()) / tokens.sum()
    return float(t.ppf((1 + SHOWN_CONFIDENCE) / 2, n - 1) * error)


def accuracy_change(before: ProbeResult, after: ProbeResult, terms: ComparisonSettings) -> dict[str, Any]:
    """Compare the right answers to the same questions; the change is that of the fine-tuned model against its base."""
    return {
        "n": len(before.correct),
        "before": asdict(proportion(before.correct)),
        "after": asdict(proportion(after.correct)),
        "change": asdict(compare_scores("questions", after.correct, before.correct, terms)),
    }
