import numpy as np
import pytest
from conftest import PROJECT

from pipeline.columns import DRAWN, TEST, TRAIN, VALIDATION, Columns
from pipeline.near import Near
from pipeline.neighbours import copies, different, label_columns, misspelt, neighbour_columns, sides_of
from pipeline.params import load_params

RULES = load_params(PROJECT / "params.yaml").validate


def columns(**replaced: object) -> Columns:
    """Six pairs: places 0 and 1 are one pair, 2 asks the same, the others differ."""
    told: dict[str, object] = {
        "ids": np.array([1, 1, 2, 3, 4, 5], np.uint64), "prompts": np.array([7, 7, 7, 8, 9, 10], np.uint64),
        "points": np.array([0.1, 0.1, 0.1, 0.3, 0.34, 0.9]), "given": np.full(6, DRAWN),
        "completions": np.array([0, 0, 1, 0, 1, 2]), "answers": ["a", "b", "c"], "sources": np.zeros(6, int),
        "files": ["f"], "rows": np.arange(6), "texts": {},
    }  # fmt: skip
    return Columns(**{**told, **replaced})  # type: ignore[arg-type]


def near(*pairs: tuple[int, int]) -> Near:
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    return Near(first, second, np.ones(len(pairs)))


NONE = near()


def test_the_side_is_that_of_the_source_or_of_the_point() -> None:
    """Below the test share is test, below both shares validation; with a given test set no other row is drawn to it."""
    assert sides_of(columns(), RULES).tolist() == [TEST] * 3 + [VALIDATION] * 2 + [TRAIN]
    given = np.array([DRAWN, DRAWN, DRAWN, TRAIN, DRAWN, TEST])
    assert sides_of(columns(given=given), RULES).tolist() == [TRAIN] * 5 + [TEST]


def test_copies_are_counted_from_the_test_set_on() -> None:
    """The first in the test set is the one that stays, wherever it stands."""
    ids = np.array([1, 2, 1, 1, 2], np.uint64)
    assert copies(ids, np.full(5, TRAIN)).tolist() == [0, 0, 1, 2, 1]
    assert copies(ids, np.array([TRAIN, TRAIN, TRAIN, TEST, TRAIN])).tolist() == [1, 0, 2, 0, 1]
    assert copies(ids[:0], np.zeros(0, int)).tolist() == []


def test_a_prompt_has_as_many_answers_as_different_ones() -> None:
    """Equal ones count once."""
    keys = np.array([5, 5, 5, 6], np.uint64)
    assert different(keys, np.array([0, 0, 1, 0])).tolist() == [2, 2, 2, 1]


def test_prompts_on_two_sides_are_marked_on_the_side_that_learns() -> None:
    """Test marks all others, validation marks training; a test row is never marked."""
    sides = np.array([TEST, TRAIN, VALIDATION, VALIDATION, TRAIN, TRAIN])
    prompts = np.array([7, 7, 7, 8, 8, 10], np.uint64)
    found = neighbour_columns(columns(prompts=prompts), NONE, sides)
    assert found["in_test"].tolist() == [0, 1, 1, 0, 0, 0]
    assert found["in_validation"].tolist() == [0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize(("given", "name"), [(DRAWN, "near_drawn"), (TEST, "near_test")])
def test_neighbours_across_the_split_are_counted_on_the_side_that_learns(given: int, name: str) -> None:
    """Apart for a test set that a source gives and for one that was drawn."""
    sides = np.array([TEST, TRAIN, VALIDATION, TRAIN, TRAIN, TRAIN])
    told = columns(given=np.array([given] + [DRAWN] * 5))
    found = neighbour_columns(told, near((0, 1), (0, 2), (3, 4)), sides)
    other = ({"near_drawn", "near_test"} - {name}).pop()
    assert found[name].tolist() == [0, 1, 1, 0, 0, 0]
    assert found[other].tolist() == [0] * 6


def test_validation_is_kept_from_training_too() -> None:
    """A training row near a validation row is counted, a validation row near a training row is not."""
    sides = np.array([VALIDATION, TRAIN, TRAIN, TRAIN, TRAIN, TEST])
    assert neighbour_columns(columns(), near((0, 3)), sides)["near_drawn"].tolist() == [0, 0, 0, 1, 0, 0]


def test_neighbours_with_one_answer_are_copies_and_with_two_conflicts() -> None:
    """Of near-copies the later one is counted, and no exact copy; of conflicts both."""
    sides = np.full(6, TRAIN)
    found = neighbour_columns(columns(), near((0, 1), (0, 3), (3, 4)), sides)
    assert found["near_copies"].tolist() == [0, 0, 0, 1, 0, 0]
    assert found["near_conflicts"].tolist() == [0, 0, 0, 1, 1, 0]


def test_labels_are_counted_among_the_training_rows() -> None:
    """Rows of each label, its share in percent, and whether it was declared."""
    sides = np.array([TRAIN, TRAIN, TEST, TRAIN, TRAIN, VALIDATION])
    found = label_columns(columns(), sides, RULES.model_copy(update={"labels": ("a", "b")}), labels=True)
    assert found["label_rows"].tolist() == [3, 3, 1, 3, 1, 0]
    assert found["label_percent"].tolist() == [75, 75, 25, 75, 25, 0]
    assert found["label_unknown"].tolist() == [0, 0, 0, 0, 0, 1]


def test_free_texts_break_no_rule_for_labels() -> None:
    """Whatever they are."""
    found = label_columns(columns(), np.full(6, TRAIN), RULES, labels=False)
    assert found["label_rows"].min() > 10**9
    assert not any(found[name].any() for name in ("label_unknown", "label_spelling", "label_percent"))


def test_the_commonest_spelling_of_a_label_is_the_right_one() -> None:
    """Case and blanks apart; among equals the one that sorts first."""
    answers = ["Refund", "refund", "re fund", " refund ", "card", "Card"]
    assert misspelt(answers, np.array([2, 5, 1, 1, 3, 3])).tolist() == [1, 0, 0, 1, 1, 0]
