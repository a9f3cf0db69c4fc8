"""JSON answers: whether they parse, and which of their fields are right."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Floats, Indices
from pipeline.errors import UserError
from pipeline.metrics.metric import Metric, bootstrap_metric, proportion
from pipeline.strict_json import parse_strict

FieldPath = tuple[str | int, ...]
"""The keys and places that lead to a field."""
JsonLeaf = tuple[FieldPath, str, Any]
"""A field that holds no others: its path, its kind and its value."""
JsonLeaves = frozenset[JsonLeaf]
"""What a JSON value says: two have the same leaves if, and only if, they are the same but for the order of keys."""
SHOWN_FIELDS = 200
JSON_TYPES = {
    bool: "truth",
    int: "number",
    float: "number",
    str: "text",
    type(None): "null",
    dict: "object",
    list: "list",
}
"""1 and 1.0 are one number; true is none."""


def json_leaves(value: Any) -> JsonLeaves:
    """Take a JSON value apart; an object or a list that is empty is a leaf too."""
    return frozenset(iterate_leaves(value))


def iterate_leaves(value: Any) -> Iterator[JsonLeaf]:
    """Go through the leaves of a JSON value, however deep they lie."""
    waiting: list[tuple[FieldPath, Any]] = [((), value)]
    while waiting:
        path, held = waiting.pop()
        if isinstance(held, dict | list) and held:
            inside = held.items() if isinstance(held, dict) else enumerate(held)
            waiting += [((*path, key), below) for key, below in inside]
        else:
            yield path, JSON_TYPES[type(held)], None if isinstance(held, dict | list) else held


def format_path(path: FieldPath) -> str:
    """Write a path as people do: `items[0].name`; the value as a whole is `$`."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(steps).removeprefix(".") or "$"


@dataclass(frozen=True)
class JsonFieldScores:
    """Expected and predicted JSON, row by row, as leaves; None for an answer that is not JSON."""

    expected: Sequence[JsonLeaves]
    predicted: Sequence[JsonLeaves | None]

    @property
    def leaf_counts(self) -> Floats:
        """Shape (rows, 2): leaves that are right, and leaves of both sides together."""
        pairs = zip(self.expected, self.predicted, strict=True)
        return np.array(
            [(len(want & (predicted or set())), len(want) + len(predicted or ())) for want, predicted in pairs], float
        )

    def row_scores(self) -> dict[str, Floats]:
        """Score each row: is it JSON, does it say the very same, and F1 of its fields with their exact values."""
        right, both = self.leaf_counts.T
        pairs = list(zip(self.expected, self.predicted, strict=True))
        return {
            "json_valid": np.array([float(predicted is not None) for _, predicted in pairs]),
            "json_exact": np.array([float(predicted == want) for want, predicted in pairs]),
            "fields_f1": 2 * right / both,
        }

    def micro_f1(self, resamples: int, seed: int) -> Metric:
        """F1 of the fields of all rows together, each field counting the same."""
        counts = self.leaf_counts

        def f1(rows: Indices) -> Floats:
            right, both = counts[rows].sum(axis=1).T
            return np.asarray(2 * right / both)

        return bootstrap_metric(f1, len(counts), resamples, seed)

    def field_metrics(self) -> dict[str, Metric]:
        """Tell of the most frequent fields, among the rows that want them, how often they have the right value."""
        hits: dict[str, list[bool]] = {}
        for want, predicted in zip(self.expected, self.predicted, strict=True):
            for leaf in want:
                hits.setdefault(format_path(leaf[0]), []).append(leaf in (predicted or ()))
        common = Counter({path: len(of_path) for path, of_path in sorted(hits.items())}).most_common(SHOWN_FIELDS)
        return {path: proportion(hits[path]) for path, _ in sorted(common)}


def read_structures(ids: Sequence[str], expected: Sequence[str], got: Sequence[str]) -> JsonFieldScores:
    """Read what was wanted and what was said.

    Raises:
        UserError: If what is wanted of a row is not JSON.
    """
    wanted: list[JsonLeaves] = []
    predicted: list[JsonLeaves | None] = []
    for pair_id, text, answer in zip(ids, expected, got, strict=True):
        try:
            wanted.append(json_leaves(parse_strict(text)))
        except ValueError as error:
            raise UserError(
                f"test row {pair_id}", f"its completion is not JSON: {error}", got=repr(text[:60]),
                do="mend the row, or set prompt.task to text",
            ) from error  # fmt: skip
        try:
            predicted.append(json_leaves(parse_strict(answer)))
        except ValueError:
            predicted.append(None)
    return JsonFieldScores(wanted, predicted)
