"""Shares of the training rows for a learning curve: each lies within the next, and each label has its share of it."""

import random
from collections.abc import Sequence


def choose_subset(labels: Sequence[str], share: float, seed: int) -> list[int]:
    """Choose a share of rows: of each label so many of its rows, in an order that the seed drew.

    A smaller share of the same seed lies within it. Of a label that has any rows there is at least one.

    Args:
        labels: The label of each row; rows without labels all have the same.
        share: Above 0, at most 1.
        seed: Of the order.

    Returns:
        The places of the chosen rows, in their order.
    """
    indices: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        indices.setdefault(label, []).append(index)
    drawn = random.Random(seed)  # noqa: S311 -- no secret
    chosen: list[int] = []
    for of_label in (indices[label] for label in sorted(indices)):
        drawn.shuffle(of_label)
        chosen += of_label[: max(1, round(share * len(of_label)))]
    return sorted(chosen)
