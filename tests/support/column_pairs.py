"""A pair as the column tests write it."""

from typing import Any

from pipeline.pairs import Message, Pair


def pair(prompt: str, completion: str = "yes", **other: Any) -> Pair:
    """A pair of one question."""
    told = {"source": "a.jsonl", "row": 1, "split": None, **other}
    return Pair((Message("user", prompt),), completion, raw=b"{}", **told)
