"""The rows of the benchmarks: Banking77 (CC BY 4.0, PolyAI), read where it lies beside the checkout."""

import csv
import random
import sys
from pathlib import Path

from pipeline.pairs import Message

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "banking77"
SHORT = "Sort the message into its category."

Row = tuple[str, str]


def rows(split: str) -> list[Row]:
    """Texts and categories of a split, in a seeded order."""
    path = FOLDER / f"{split}.csv"
    if not path.exists():
        sys.exit(f"error: {path}: no such file; put Banking77's train.csv and test.csv there")
    with path.open(encoding="utf-8", newline="") as file:
        found = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    random.Random(1).shuffle(found)  # noqa: S311 -- an order, not a secret
    return found


def systems() -> dict[str, str]:
    """The two system prompts: a short one, and one that names all labels."""
    labels = sorted({label for _, label in rows("train")})
    return {"short": SHORT, "labels": f"{SHORT} The categories are: {', '.join(labels)}."}


def messages(text: str) -> list[Message]:
    """A row's prompt, but for the system message that the renderer adds."""
    return [Message("user", text)]
