"""Pictures of an evaluation; the same numbers give the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

mpl.use("Agg")

from pipeline.arms import BASE, CHAMPION, FINETUNED

ARM_COLOURS = {BASE: "#9aa5b1", FINETUNED: "#2b6cb0", CHAMPION: "#b7791f"}
BASELINE_COLOUR = "#68857a"
"""Of every other arm: its name stands beside it."""
PLOT_COLUMNS = 3
"""Fields beside each other."""
PNG_METADATA = {"Software": None}


def plot_arms(metrics: dict[str, Any], path: Path) -> None:
    """Draw each measure in a field of its own, in it each arm as a point with its interval, the best at the top."""
    known = dict.fromkeys(measure for of_arm in metrics["arms"].values() for measure in of_arm)
    measures = [measure for measure in known if not measure.startswith("length_ratio")]  # which has no end at 1
    columns = min(PLOT_COLUMNS, len(measures))
    rows = -(-len(measures) // columns)
    arms = rank_arms(metrics["arms"], measures[0])
    figure = Figure(figsize=(1.5 + 2.6 * columns, 0.5 + rows * (0.7 + 0.26 * len(arms))), layout="constrained")
    fields = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for axes, measure in zip(fields, measures, strict=False):
        plot_metric(axes, {arm: metrics["arms"][arm].get(measure) for arm in arms}, measure)
    for axes in fields[len(measures) :]:
        axes.set_visible(False)
    fields[0].set_yticks(range(len(arms)), arms)
    fields[0].invert_yaxis()
    fields[0].set_xlim(-0.02, 1.25)
    figure.suptitle(f"Held-out rows, n = {metrics['n']}; bars are 95 % intervals", fontsize=10)
    figure.savefig(path, dpi=130, metadata=PNG_METADATA)


def rank_arms(arms: dict[str, Any], measure: str) -> list[str]:
    """Put arms in order, the best by a measure first."""
    return sorted(arms, key=lambda arm: (-arms[arm][measure]["value"] if measure in arms[arm] else 0.0, arm))


def plot_metric(axes: Any, found: dict[str, Any], measure: str) -> None:
    """Draw one measure of all arms, each in its line; an arm that has no such measure leaves its line empty."""
    for line, (arm, metric) in enumerate(found.items()):
        if metric is None:
            continue
        colour = ARM_COLOURS.get(arm, BASELINE_COLOUR)
        axes.plot([metric["low"], metric["high"]], [line] * 2, color=colour, linewidth=3, alpha=0.5)
        axes.plot(metric["value"], line, "o", color=colour)
        axes.annotate(
            f"{metric['value']:.3f}", (metric["high"], line), xytext=(5, -3), textcoords="offset points", fontsize=8
        )
    axes.set_title(measure, fontsize=9)
    axes.set_xticks([0, 0.5, 1])
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)


def plot_confusion(expected: Sequence[str], got: Sequence[str], labels: Sequence[str], path: Path) -> None:
    """Draw, for each expected label (a row), which labels were said (columns), as counts."""
    number = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for want, said in zip(expected, got, strict=True):
        counts[number[want], number[said]] += 1
    size = max(5.0, 0.38 * len(labels) + 2)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(np.sqrt(counts), cmap="Blues")
    small: dict[str, Any] = {"fontsize": 8 if len(labels) <= 40 else 5, "parse_math": False}
    axes.set_xticks(range(len(labels)), labels, rotation=90, **small)
    axes.set_yticks(range(len(labels)), labels, **small)
    for row, column in zip(*np.nonzero(counts), strict=True):
        dark = counts[row, column] > counts.max() / 2
        axes.text(
            column,
            row,
            counts[row, column],
            ha="center",
            va="center",
            color="white" if dark else "black",
            **small,
        )
    axes.set_xlabel("said by the fine-tuned model")
    axes.set_ylabel("expected")
    figure.savefig(path, dpi=130, metadata=PNG_METADATA)


def plot_reliability(tenths: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw, for answers of which the fine-tuned model was about as sure, how many were right, with the interval."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, alpha=0.4)
    for tenth in tenths:
        right, sure = tenth["right"], tenth["probability"]
        axes.plot([sure, sure], [right["low"], right["high"]], color=ARM_COLOURS[FINETUNED], linewidth=3, alpha=0.5)
        axes.plot(sure, right["value"], "o", color=ARM_COLOURS[FINETUNED])
        axes.annotate(
            f"n={right['n']}", (sure, right["low"]), xytext=(4, 2), textcoords="offset points", fontsize=8
        )  # fmt: skip
    axes.set_xlim(-0.02, 1.1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("how sure it was")
    axes.set_ylabel("how many were right, with 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, metadata=PNG_METADATA)
