"""Arms and their comparisons, made by the real code from how many rows which arm has right."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.arrays import Floats
from pipeline.evaluate.stage import compare_arms
from pipeline.generation.generate import Prediction
from pipeline.holdout.reuse import HoldoutUse
from pipeline.metrics.metric import proportion
from pipeline.metrics.scoring import score_predictions
from pipeline.pairs import Message, Pair
from pipeline.params import Register, load_params
from pipeline.stats.paired_comparison import ComparisonSettings
from tests.support.paths import PROJECT

GIVEN = load_params(PROJECT / "params.yaml").register
FRESH = HoldoutUse(rows=175, fresh=175, decisions=1.0)
"""Of test rows that decide for the first time."""
TERMS = ComparisonSettings(resamples=200, seed=1, confidence=0.95, non_inferiority_margin=0.02)


def rule(**replaced: Any) -> Register:
    """The gate's rule: no least gain, 95 %, as good within two points, a fifth of a label; or as it is told."""
    usual = {
        "min_gain": 0.0,
        "confidence": 0.95,
        "non_inferiority_margin": 0.02,
        "max_label_regression": 0.2,
        "max_holdout_uses": 20,
    }
    return Register(**{**GIVEN.model_dump(), **usual, **replaced})


def beside(tuned: Floats, better: int, worse: int) -> Floats:
    """An arm that has so many rows wrong that the fine-tuned one has right, and so many right that it has wrong."""
    other = tuned.copy()
    other[np.flatnonzero(tuned == 1)[:better]] = 0
    other[np.flatnonzero(tuned == 0)[:worse]] = 1
    return other


def metrics(n: int, right: int, baselines: Mapping[str, tuple[int, int]], register: Register | None = None) -> Any:
    """What evaluate would write of n rows of one label, of which the fine-tuned arm has some right.

    Args:
        n: Rows.
        right: Those that the fine-tuned arm has right.
        baselines: Of each other arm, the rows that the fine-tuned one alone has right, and that this one alone has.
        register: The rule, for its terms.
    """
    tuned = (np.arange(n) < right).astype(float)
    scores = {"fine-tuned": tuned, **{name: beside(tuned, *apart) for name, apart in baselines.items()}}
    return written(["a"] * n, scores, register or rule())


def written(expected: Sequence[str], scores: Mapping[str, Floats], register: Register) -> Any:
    """What evaluate would write of arms, of which only is known which rows they have right."""
    answers = {
        name: [want if hit else "none of them" for want, hit in zip(expected, hits, strict=True)]
        for name, hits in scores.items()
    }
    return answered(expected, answers, register)


def answered(expected: Sequence[str], answers: Mapping[str, list[str]], register: Register) -> Any:
    """What evaluate would write of arms with these answers."""
    terms = ComparisonSettings(TERMS.resamples, TERMS.seed, register.confidence, register.non_inferiority_margin)
    test = [Pair((Message("user", "?"),), want, "a", row, None, b"") for row, want in enumerate(expected)]
    arms = {
        name: score_predictions("labels", test, [Prediction(text, free=True, held=True) for text in of_arm], ())
        for name, of_arm in answers.items()
    }
    return {
        "arms": {name: {"accuracy": asdict(proportion(arm.scores["accuracy"]))} for name, arm in arms.items()},
        "comparisons": compare_arms(arms, terms, "accuracy"),
    }
