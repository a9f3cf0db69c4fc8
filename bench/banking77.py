"""The rows of the benchmarks: Banking77 (CC BY 4.0, PolyAI), read where it lies beside the checkout."""

import csv
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_lowercase

from pipeline.pairs import Message

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "banking77"
SHORT = "Sort the message into its category."

STRIDE, PRIME = 7_368_787, 10_000_019
"""Multiples of the one give each of ten million rows another number below the other."""

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


def varied(rows: Sequence[Row], number: int) -> Iterator[Row]:
    """Make so many rows of some, all different: words change places, letters are mistyped, each has its own number."""
    chance = random.Random(1)  # noqa: S311 -- variety, not a secret
    for place in range(number):
        text, label = rows[place % len(rows)]
        words = mistyped(text.split(), chance)
        words.insert(chance.randrange(len(words) + 1), str(place * STRIDE % PRIME))
        yield " ".join(words), label


def mistyped(words: list[str], chance: random.Random) -> list[str]:
    """Change the places of two words, and a letter in a quarter of them."""
    first, second = chance.randrange(len(words)), chance.randrange(len(words))
    words[first], words[second] = words[second], words[first]
    for place in chance.sample(range(len(words)), max(1, len(words) // 4)):
        word = words[place]
        at = chance.randrange(len(word))
        words[place] = word[:at] + chance.choice(ascii_lowercase) + word[at + 1 :]
    return words
