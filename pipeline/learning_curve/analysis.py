"""What a learning curve says, as it is written: the line with its band, twice the rows, and which labels want more."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.arrays import Floats
from pipeline.learning_curve.power_law import GrowthForecast, fit_growth, growth_sentence
from pipeline.metrics.metric import proportion
from pipeline.stats.bootstrap import SHOWN_CONFIDENCE
from pipeline.stats.paired_comparison import ComparisonSettings, compare_scores, holm_corrected
from pipeline.stats.paired_proportions import one_sided_p_value

INTERVAL_FIELDS = ("value", "low", "high")
CURVE_POINTS = 24
"""Points of the drawn line."""
SIGNIFICANCE_LEVEL = 0.05
"""At this p-value, corrected for the number of labels, a label stands out."""


def analyze_growth(rows: Floats, scores: Floats, metric: str, resamples: int, seed: int) -> dict[str, Any]:
    """Fit a curve and write it out: the law, the line from the smallest share to twice the whole, and a sentence.

    Args:
        rows: Training rows of each share, shape (shares,).
        scores: Of each test row by the model of each share, shape (shares, n).
        metric: Their name.
        resamples: Bootstrap draws.
        seed: Of the draws.
    """
    growth = fit_growth(rows, scores, resamples, seed)
    last = compare_last_step(rows, scores, metric, ComparisonSettings(resamples, seed, SHOWN_CONFIDENCE, 0.0))
    text = f"{growth_sentence(growth, metric)} {last['text']}" if last else growth_sentence(growth, metric)
    growth_report: dict[str, Any] = {"law": None, "line": [], "twice": None, "last": last, "text": text}
    if growth is None or growth.missed:
        return growth_report
    law = growth.law
    row_counts = np.geomspace(rows[0], 2 * rows[-1], CURVE_POINTS)
    return growth_report | {
        "law": {
            "scale": float(law.scale[0]),
            "power": float(law.exponent[0]),
            "floor": float(law.irreducible_error[0]),
        },
        "line": [
            {"rows": float(count), **dict(zip(INTERVAL_FIELDS, growth.at(count), strict=True))} for count in row_counts
        ],
        "twice": doubling_forecast(growth),
    }


def compare_last_step(rows: Floats, scores: Floats, metric: str, terms: ComparisonSettings) -> dict[str, Any] | None:
    """Compare the model of all rows with that of the share before; None if there is none."""
    if len(rows) < 2:
        return None
    comparison = compare_scores(metric, scores[-1], scores[-2], terms)
    return {
        "difference": comparison.difference, "low": comparison.low, "high": comparison.high,
        "text": (
            f"The last rows, from {rows[-2]:,.0f} to {rows[-1]:,.0f}, brought "
            f"{100 * comparison.difference:+.1f} points "
            f"({100 * comparison.low:+.1f} to {100 * comparison.high:+.1f})."
        ),
    }  # fmt: skip


def doubling_forecast(growth: GrowthForecast) -> dict[str, Any]:
    """Write out what twice the rows would have, and bring."""
    return {
        "rows": 2 * growth.rows,
        **dict(zip(INTERVAL_FIELDS, growth.at(2 * growth.rows), strict=True)),
        **dict(zip(("gain", "gain_low", "gain_high"), growth.gain(2), strict=True)),
    }


def labels_needing_data(
    strata: Sequence[str], expected: Sequence[str], got: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """Compare each label under the last share and under all rows: what more rows brought it, and whether by chance.

    The p-value is that of "more rows brought nothing", by the rows that one of both models alone has right, exact and
    one-sided, corrected for the number of labels (Holm 1979). The label that gained most comes first.

    Args:
        strata: The label of each training row; none where there are no labels.
        expected: What is wanted of each test row.
        got: What both models say, the one of the share first.
    """
    if not strata or len(got) < 2:
        return []
    rows, needing = Counter(strata), list[dict[str, Any]]()
    right = [np.array([predicted == wanted for predicted, wanted in zip(of, expected, strict=True)]) for of in got]
    for label in sorted(set(expected)):
        of_label = np.array([wanted == label for wanted in expected])
        before, after = (hits[of_label] for hits in right)
        better, worse = int(np.sum(after & ~before)), int(np.sum(before & ~after))
        needing.append(
            {
                "label": label, "rows": rows[label],
                "before": asdict(proportion(before)), "after": asdict(proportion(after)),
             "gain": float(after.mean() - before.mean()), "p_value": float(one_sided_p_value(worse, better))}
        )  # fmt: skip
    sure = holm_corrected([one["p_value"] for one in needing])
    told_of = [
        {**one, "p_corrected": p, "stands_out": p <= SIGNIFICANCE_LEVEL} for one, p in zip(needing, sure, strict=True)
    ]
    return sorted(told_of, key=lambda one: (-one["gain"], one["label"]))
