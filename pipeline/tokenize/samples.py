"""Rows that stand for all rows: chosen while all go by, the same whatever their order."""

from typing import Any, Generic, TypeVar

from pipeline.pairs import Pair

SAMPLE_KINDS = {"one turn": 2, "own system": 1, "several turns": 2, "unicode": 2, "long": 1}
"""What is looked for among pairs, and how many of it are chosen."""

SampledRow = TypeVar("SampledRow")


def pair_kinds(pair: Pair) -> list[str]:
    """Say which kinds a pair belongs to, but for its length."""
    roles = [message.role for message in pair.messages]
    kinds = {
        "one turn": roles == ["user"],
        "own system": "system" in roles,
        "several turns": "assistant" in roles,
        "unicode": not (pair.completion.isascii() and all(message.content.isascii() for message in pair.messages)),
    }
    return [kind for kind, holds in kinds.items() if holds]


class SmallestKeys(Generic[SampledRow]):
    """Keeps the rows with the smallest keys of all that go by, of each key the first.

    Where keys begin with ids, which are hashes of what a pair says, the rows are as good as drawn.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._capacity = most
        self._rows_by_key: dict[Any, SampledRow] = {}

    def would_keep(self, key: Any) -> bool:
        """Say whether a row with this key would be kept."""
        return key not in self._rows_by_key and (
            len(self._rows_by_key) < self._capacity or key < max(self._rows_by_key)
        )

    def add(self, key: Any, row: SampledRow) -> None:
        """Keep a row if its key is small enough, in place of the one whose key is largest."""
        if self.would_keep(key):
            self._rows_by_key[key] = row
            if len(self._rows_by_key) > self._capacity:
                del self._rows_by_key[max(self._rows_by_key)]

    @property
    def rows(self) -> list[SampledRow]:
        """Those that are kept, by their keys."""
        return [self._rows_by_key[key] for key in sorted(self._rows_by_key)]
