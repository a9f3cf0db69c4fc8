"""Laws of how the fine-tuned model stands against its baselines."""

import pytest

from pipeline.register.baseline_comparison import ARMS_BY_COST, BaselineComparison, cost_rank
from pipeline.stats.paired_comparison import Comparison
from tests.support.comparisons import metrics, rule


def stands(n: int, right: int, baselines: dict[str, tuple[int, int]], **replaced: float) -> BaselineComparison:
    """The standing of a model that has some of n rows right, by what it and each baseline alone have right."""
    register = rule(**replaced)
    found = metrics(n, right, baselines, register)
    return BaselineComparison(
        {arm: Comparison.from_dict(one) for arm, one in found["comparisons"].items()}, found["arms"], register
    )


def test_what_hosts_no_model_is_cheapest_and_what_is_unknown_is_not_cheap() -> None:
    """A linear classifier before a model with prompts, prompts before what is to be trained; an endpoint comes last."""
    order = [
        "majority",
        "tfidf",
        "embedding",
        "zero_shot",
        "best_prompt",
        "few_shot",
        "few_shot_bm25",
        "fine-tuned",
        "hosted",
    ]
    assert sorted(order, key=cost_rank) == order
    assert cost_rank("something new") > max(map(cost_rank, ARMS_BY_COST))


def test_the_best_baseline_has_the_most_and_of_several_the_cheapest_counts() -> None:
    """By value, then by cost."""
    assert stands(100, 50, {"majority": (30, 0), "few_shot": (5, 5), "tfidf": (9, 9)}).best == "tfidf"
    assert stands(100, 50, {"majority": (30, 0), "few_shot": (5, 6), "tfidf": (9, 9)}).best == "few_shot"


def test_a_baseline_is_surely_better_only_after_correction_for_their_number() -> None:
    """Six rows to none are sure of one baseline, not of one among three; ten are."""
    assert stands(100, 50, {"tfidf": (0, 6)}).significantly_better() == ["tfidf"]
    three = {"majority": (30, 0), "zero_shot": (2, 2)}
    assert stands(100, 50, {"tfidf": (0, 6), **three}).significantly_better() == []
    assert stands(100, 50, {"tfidf": (0, 10), **three}).significantly_better() == ["tfidf"]


def test_a_beaten_baseline_is_looked_at_by_itself() -> None:
    """Since all have to be beaten, none is corrected; nor is a gain beaten that is not above the least."""
    three = {"majority": (30, 0), "zero_shot": (2, 2)}
    assert stands(100, 50, {"tfidf": (6, 0), **three}).is_beaten("tfidf")
    assert not stands(100, 50, {"tfidf": (6, 0), **three}, min_gain=0.05, non_inferiority_margin=0.05).is_beaten(
        "tfidf"
    )


@pytest.mark.parametrize(
    ("baseline", "n", "apart", "margin", "alike"),
    [
        ("tfidf", 1000, (0, 0), 0.02, True),
        ("tfidf", 100, (0, 0), 0.02, False),  # too few rows to say so
        ("tfidf", 1000, (10, 10), 0.02, True),
        ("tfidf", 1000, (60, 60), 0.02, False),
        ("tfidf", 1000, (60, 60), 0.05, True),
        ("tfidf", 1000, (30, 15), 0.02, False),
        ("tfidf", 1000, (0, 40), 0.0, True),  # more than non-inferior
        ("hosted", 1000, (0, 0), 0.02, False),  # non-inferior, but no cheaper
        ("something new", 1000, (0, 0), 0.02, False),
    ],
)
def test_a_cheaper_baseline_is_as_good_if_it_is_surely_less_than_the_margin_behind(
    baseline: str, n: int, apart: tuple[int, int], margin: float, *, alike: bool
) -> None:
    """The end of the interval counts, not the difference that was seen."""
    assert (stands(n, n // 2, {baseline: apart}, non_inferiority_margin=margin).non_inferior() == [baseline]) is alike


def test_being_as_good_is_corrected_for_the_number_of_cheaper_baselines() -> None:
    """What one baseline proves is not enough for one among five."""
    one = stands(200, 100, {"tfidf": (0, 0)})
    five = stands(
        200, 100, {"tfidf": (0, 0), **dict.fromkeys(("majority", "embedding", "zero_shot", "few_shot"), (60, 0))}
    )
    assert (one.non_inferior(), five.non_inferior()) == (["tfidf"], [])


def test_rows_that_would_settle_it_are_asked_of_either_side() -> None:
    """More rows beat a baseline that is behind; show better one that is ahead; and as good one that is neither."""
    ahead, behind, level = (stands(100, 50, {"tfidf": apart}) for apart in ((9, 4), (4, 9), (3, 3)))
    assert (ahead.rows_to_beat("tfidf") or 0) > 100
    assert behind.rows_to_beat("tfidf") is None
    assert min(behind.rows_to_prefer("tfidf")) > 100
    assert level.rows_to_beat("tfidf") is None
    assert len(list(level.rows_to_prefer("tfidf"))) == 1
    assert list(stands(100, 50, {"hosted": (3, 3)}).rows_to_prefer("hosted")) == []
