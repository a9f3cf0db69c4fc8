"""Laws of shares of the training rows: each within the next, each label with its share."""

from itertools import pairwise

import pytest

from pipeline.learning_curve.subsets import choose_subset

LABELS = [label for label, many in {"often": 60, "seldom": 7, "once": 1}.items() for _ in range(many)]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_smaller_share_lies_within_a_larger_one(seed: int) -> None:
    """All of the rows are the last of them."""
    shares = [choose_subset(LABELS, share, seed) for share in (0.05, 0.1, 0.25, 0.5, 1.0)]
    assert all(set(small) < set(large) for small, large in pairwise(shares))
    assert shares[-1] == list(range(len(LABELS)))


@pytest.mark.parametrize(("share", "rows"), [(0.1, (6, 1, 1)), (0.5, (30, 4, 1)), (0.01, (1, 1, 1))])
def test_each_label_has_its_share_and_at_least_one_row(share: float, rows: tuple[int, ...]) -> None:
    """However small the share."""
    chosen = [LABELS[row] for row in choose_subset(LABELS, share, 1)]
    assert tuple(map(chosen.count, ("often", "seldom", "once"))) == rows


def test_the_seed_draws_the_rows() -> None:
    """The same seed the same rows, in their order; another one others."""
    assert choose_subset(LABELS, 0.3, 1) == choose_subset(LABELS, 0.3, 1) == sorted(choose_subset(LABELS, 0.3, 1))
    assert choose_subset(LABELS, 0.3, 1) != choose_subset(LABELS, 0.3, 2)
