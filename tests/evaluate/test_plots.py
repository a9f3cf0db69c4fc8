"""Laws of the pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from pipeline.evaluate.plots import plot_arms, plot_confusion, plot_reliability, rank_arms

EXPECTED, GOT, LABELS = ["a", "b", "b"], ["a", "b", "a"], ["a", "b", "c"]


def metrics(value: float, arms: tuple[str, ...] = ("zero_shot", "fine-tuned", "champion")) -> dict[str, Any]:
    found = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40}
    return {"n": 40, "arms": {arm: {"accuracy": found, "macro_f1": found} for arm in arms}}


def draw_twice(draw: Callable[[Path], None], folder: Path) -> tuple[bytes, bytes]:
    draw(folder / "first.png")
    draw(folder / "second.png")
    return (folder / "first.png").read_bytes(), (folder / "second.png").read_bytes()


def test_the_same_metrics_give_the_same_picture(tmp_path: Path) -> None:
    """The picture of the arms depends on the numbers alone; other numbers give another one."""
    first, second = draw_twice(lambda path: plot_arms(metrics(0.5), path), tmp_path)
    plot_arms(metrics(0.6), tmp_path / "other.png")
    assert first == second != (tmp_path / "other.png").read_bytes()
    assert first.startswith(b"\x89PNG")


def test_the_same_answers_give_the_same_picture(tmp_path: Path) -> None:
    """The picture of the confusions depends on the answers alone; other answers give another one."""
    first, second = draw_twice(lambda path: plot_confusion(EXPECTED, GOT, LABELS, path), tmp_path)
    plot_confusion(EXPECTED, EXPECTED, LABELS, tmp_path / "other.png")
    assert first == second != (tmp_path / "other.png").read_bytes()


def tenths(probability: float) -> list[dict[str, Any]]:
    right = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}
    return [{"from": 0.9, "to": 1.0, "probability": probability, "right": right}]


def test_the_same_tenths_give_the_same_picture(tmp_path: Path) -> None:
    """The picture of how sure the model was depends on the numbers alone; other numbers give another one."""
    first, second = draw_twice(lambda path: plot_reliability(tenths(0.95), path), tmp_path)
    plot_reliability(tenths(0.91), tmp_path / "other.png")
    assert first == second != (tmp_path / "other.png").read_bytes()


def test_a_measure_that_an_arm_has_not_is_left_out_of_its_picture(tmp_path: Path) -> None:
    """An arm without it, and a ratio of lengths that has no place between 0 and 1, keep nothing from being drawn."""
    told = metrics(0.5)
    plot_arms(told, tmp_path / "before.png")
    told["arms"]["fine-tuned"]["length_ratio"] = {"value": 7.5, "low": 7.0, "high": 8.0, "n": 40}
    plot_arms(told, tmp_path / "ratio.png")
    assert (tmp_path / "ratio.png").read_bytes() == (tmp_path / "before.png").read_bytes()
    del told["arms"]["zero_shot"]["macro_f1"]
    plot_arms(told, tmp_path / "less.png")
    assert (tmp_path / "less.png").read_bytes() != (tmp_path / "before.png").read_bytes()


@pytest.mark.parametrize("arms", [("zero_shot", "fine-tuned"), ("zero_shot", "champion", "fine-tuned")])
def test_each_arm_has_its_colour_in_the_picture(tmp_path: Path, arms: tuple[str, ...]) -> None:
    """The arms that were evaluated are drawn, and no other."""
    plot_arms(metrics(0.5, arms), tmp_path / "arms.png")
    red, green, blue = np.round(imread(tmp_path / "arms.png")[..., :3] * 255).astype(int).reshape(-1, 3).T
    seen = set(np.unique(red << 16 | green << 8 | blue).tolist())
    ink = {"zero_shot": 0x9AA5B1, "fine-tuned": 0x2B6CB0, "champion": 0xB7791F}
    assert {arm for arm, colour in ink.items() if colour in seen} == set(arms)


def test_baselines_are_drawn_in_one_colour_and_the_best_arm_first(tmp_path: Path) -> None:
    """Ten arms of which two lack a measure can be drawn; what is no model of ours has the colour of baselines."""
    many = metrics(0.5, ("zero_shot", "fine-tuned", *(f"baseline {number}" for number in range(8))))
    for number in range(2):
        del many["arms"][f"baseline {number}"]["macro_f1"]
    many["arms"]["baseline 5"]["accuracy"] = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 40}
    plot_arms(many, tmp_path / "arms.png")
    seen = {tuple(pixel) for pixel in np.round(imread(tmp_path / "arms.png")[..., :3] * 255).astype(int).reshape(-1, 3)}
    assert {(0x9A, 0xA5, 0xB1), (0x2B, 0x6C, 0xB0), (0x68, 0x85, 0x7A)} <= seen
    assert rank_arms(many["arms"], "accuracy") == ["baseline 5", *sorted(set(many["arms"]) - {"baseline 5"})]


@pytest.mark.parametrize(
    "labels",
    [
        [f"label-{number}" for number in range(41)],
        ["only"],
        ["$5 % off or $6", "save $5_or_$6", "100 %", "a_b^c", "\\frac"],
        ["", "a long label, of the kind that people write who do not know that it is a label at all"],
    ],
    ids=["many", "one", "signs that mean something to a typesetter", "empty and long"],
)
def test_any_labels_can_be_drawn(tmp_path: Path, labels: list[str]) -> None:
    """No number of labels and no sign in them keeps the picture from being drawn."""
    plot_confusion(labels, labels[::-1], labels, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000
