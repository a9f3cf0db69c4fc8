"""Pictures of an evaluation; the same numbers give the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

mpl.use("Agg")

INK = {"base": "#9aa5b1", "fine-tuned": "#2b6cb0", "champion": "#b7791f"}
NO_DATE = {"Software": None}


def draw_arms(metrics: dict[str, Any], path: Path) -> None:
    """Draw every measure of every arm that goes from 0 to 1 as a point with its interval."""
    arms = list(metrics["arms"])
    measures = [
        measure
        for measure in dict.fromkeys(measure for of_arm in metrics["arms"].values() for measure in of_arm)
        if not measure.startswith("length_ratio")
    ]
    figure = Figure(figsize=(8, 1.2 + 0.28 * len(measures) * (len(arms) + 1)), layout="constrained")
    axes = figure.add_subplot()
    for place, measure in enumerate(measures):
        for offset, arm in enumerate(arms):
            found = metrics["arms"][arm].get(measure)
            if found is None:  # as of an arm that does not say how sure it is
                continue
            height = place + 0.22 * (offset - (len(arms) - 1) / 2)
            axes.plot([found["low"], found["high"]], [height] * 2, color=INK[arm], linewidth=3, alpha=0.5)
            axes.plot(found["value"], height, "o", color=INK[arm], label=arm if place == 0 else None)
            axes.annotate(
                f"{found['value']:.3f}",
                (found["high"], height),
                xytext=(5, -3),
                textcoords="offset points",
                fontsize=8,
            )
    axes.set_yticks(range(len(measures)), measures)
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.1)
    axes.set_title(f"Held-out rows, n = {metrics['n']}; bars are 95 % intervals", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=130, metadata=NO_DATE)


def draw_confusion(expected: Sequence[str], got: Sequence[str], labels: Sequence[str], path: Path) -> None:
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
    figure.savefig(path, dpi=130, metadata=NO_DATE)


def draw_reliability(tenths: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw, for answers of which the fine-tuned model was about as sure, how many were right, with the interval."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, alpha=0.4)
    for tenth in tenths:
        right, sure = tenth["right"], tenth["probability"]
        axes.plot([sure, sure], [right["low"], right["high"]], color=INK["fine-tuned"], linewidth=3, alpha=0.5)
        axes.plot(sure, right["value"], "o", color=INK["fine-tuned"])
        axes.annotate(
            f"n={right['n']}", (sure, right["low"]), xytext=(4, 2), textcoords="offset points", fontsize=8
        )  # fmt: skip
    axes.set_xlim(-0.02, 1.1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("how sure it was")
    axes.set_ylabel("how many were right, with 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, metadata=NO_DATE)
