"""What `dvc plots` draws, as CSV: the training's losses, each arm in its interval, and expected beside predicted."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from pipeline.arms import FINETUNED

ARM_COLUMNS = ("arm", "value", "low", "high", "n")
"""An arm with the metric that decides, and its interval."""


def write_plot_data(folder: Path, history: Path, files: Mapping[str, Any]) -> None:
    """Write the files that dvc.yaml names under `plots`.

    Args:
        folder: Where they go; it is made.
        history: The curves of the training, a JSON object a line.
        files: What the other stages wrote, by names below `data/`, and the release.
    """
    folder.mkdir()
    points = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    for split in ("train", "validation"):
        losses = ((point["step"], point[f"{split}_loss"]) for point in points if f"{split}_loss" in point)
        write_csv(folder / f"{split}_loss.csv", ("step", "loss"), losses)
    arms = files["register/release.json"]["worth"]["table"]
    write_csv(folder / "arms.csv", ARM_COLUMNS, ([arm[column] for column in ARM_COLUMNS] for arm in arms))
    confusion = files["evaluate/details.json"][FINETUNED].get("confusion", {})
    write_csv(folder / "confusion.csv", ("expected", "predicted"), confusion_rows(confusion))


def confusion_rows(confusion: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, str]]:
    """Give a row for each test row, as DVC counts them: expected label and predicted one."""
    for expected, counts in confusion.items():
        for predicted, rows in counts.items():
            yield from repeat((expected, predicted), rows)


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV, numbers with all of their digits."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
