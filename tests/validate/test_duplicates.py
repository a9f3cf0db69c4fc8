import numpy as np
import pytest

from pipeline.dedup.minhash import NearDuplicates
from pipeline.validate.columns import TEST, TRAIN, UNASSIGNED, VALIDATION, PairColumns
from pipeline.validate.duplicates import count_copies, neighbour_columns
from pipeline.validate.splits import assign_splits, pin_to_test, prompts_among, scored_before
from tests.support.checked_pairs import ALL, RULES, columns


def apart(**replaced: object) -> PairColumns:
    """Six pairs, each with a prompt of its own and one completion."""
    own = {"ids": np.arange(6, dtype=np.uint64), "prompts": np.arange(6), "asked": np.arange(6, dtype=np.uint64)}
    return columns(**{**own, "completions": np.zeros(6, int), "answers": ["a"], **replaced})


def near(*pairs: tuple[int, int]) -> NearDuplicates:
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    return NearDuplicates(first, second, np.ones(len(pairs)))


NONE = near()


def test_the_side_is_that_of_the_source_or_of_the_point() -> None:
    """Below the test share is test, below both shares validation; with a given test set no other row is drawn to it."""
    assert assign_splits(columns(), RULES).tolist() == [TEST] * 3 + [VALIDATION] * 2 + [TRAIN]
    given = np.array([UNASSIGNED, UNASSIGNED, UNASSIGNED, TRAIN, UNASSIGNED, TEST])
    assert assign_splits(columns(given=given), RULES).tolist() == [TRAIN] * 5 + [TEST]


def test_a_prompt_that_was_tested_before_stays_in_the_test_set() -> None:
    """If that is drawn; where a source says otherwise, that holds, and where one is the test set, none is drawn."""
    claimed = np.array([False, False, False, True, False, True])
    given = {place: np.array([UNASSIGNED] * 5 + [place]) for place in (UNASSIGNED, TRAIN, TEST)}
    for place, found in {UNASSIGNED: [TEST] * 4 + [VALIDATION, TEST], TRAIN: [TEST] * 4 + [VALIDATION, TRAIN]}.items():
        told = columns(given=given[place])
        assert pin_to_test(told, assign_splits(told, RULES), claimed).tolist() == found
    told = columns(given=given[TEST])
    assert TEST not in pin_to_test(told, assign_splits(told, RULES), claimed)[:5]


def test_what_was_tested_claims_its_prompts_and_those_near_them_unless_it_still_is_in_the_test_set() -> None:
    """Prompt 0 is in the test set still; 90 is prompt 2 and no longer is; of what left the data only grams are left."""
    tested, held_out = np.array([70, 90, 555], np.uint64), np.arange(6) < 3
    told = columns(points=np.arange(6) / 10)
    assert scored_before(tested, told, NONE, held_out).tolist() == [False] * 4 + [True, False]
    found = near((0, 1), (1, 4), (3, 6))  # places from 4 on are those that were tested
    assert scored_before(tested, told, found, held_out).tolist() == [False] * 4 + [True, True]
    assert scored_before(tested, told, found, held_out & False).tolist() == [True] * 6
    assert prompts_among(found, 4).second.tolist() == [1]
    assert not scored_before(np.zeros(0, np.uint64), told, NONE, held_out).any()


def test_a_conversation_is_claimed_whole() -> None:
    """All that opens alike has one point, and goes where its first turn goes."""
    told = columns(points=np.array([0.1, 0.1, 0.1, 0.3, 0.3, 0.9]))
    assert scored_before(np.array([80], np.uint64), told, NONE, np.zeros(6, bool)).tolist() == [False] * 3 + [
        True
    ] * 2 + [False]


def test_copies_are_counted_from_the_test_set_on() -> None:
    """The first in the test set is the one that stays, wherever it stands."""
    ids = np.array([1, 2, 1, 1, 2], np.uint64)
    assert count_copies(ids, np.full(5, TRAIN), ALL[:5]).tolist() == [0, 0, 1, 2, 1]
    assert count_copies(ids, np.array([TRAIN, TRAIN, TRAIN, TEST, TRAIN]), ALL[:5]).tolist() == [1, 0, 2, 0, 1]
    assert count_copies(ids, np.full(5, TRAIN), np.arange(5) > 0).tolist() == [0, 0, 0, 1, 1]
    assert count_copies(ids[:0], np.zeros(0, int), ALL[:0]).tolist() == []


def test_prompts_on_two_sides_are_marked_on_the_side_that_learns() -> None:
    """Test marks all others, validation marks training; a test row is never marked, and a row set aside marks none."""
    sides = np.array([TEST, TRAIN, VALIDATION, VALIDATION, TRAIN, TRAIN])
    told = columns(prompts=np.array([0, 0, 0, 1, 1, 2]))
    found = neighbour_columns(told, NONE, sides, ALL, set())
    assert found["in_test"].tolist() == [0, 1, 1, 0, 0, 0]
    assert found["in_validation"].tolist() == [0, 1, 0, 0, 1, 0]
    found = neighbour_columns(told, NONE, sides, np.arange(6) > 2, set())
    assert found["in_test"].tolist() == [0] * 6
    assert found["in_validation"].tolist() == [0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(("given", "name"), [(UNASSIGNED, "near_heldout"), (TEST, "near_test")])
def test_neighbours_across_the_split_are_marked_on_the_side_that_learns(given: int, name: str) -> None:
    """Apart for a test set that a source gives and for one that was drawn; a row set aside has no neighbours."""
    sides = np.array([TEST, TRAIN, VALIDATION, TRAIN, TRAIN, TRAIN])
    told = apart(given=np.array([given] + [UNASSIGNED] * 5))
    found = neighbour_columns(told, near((0, 1), (0, 2), (3, 4)), sides, ALL, set())
    other = ({"near_heldout", "near_test"} - {name}).pop()
    assert found[name].tolist() == [0, 1, 1, 0, 0, 0]
    assert found[other].tolist() == [0] * 6
    assert not neighbour_columns(told, near((0, 1), (0, 2)), sides, np.arange(6) > 0, set())[name].any()


def test_what_one_step_sets_aside_is_no_neighbour_in_the_next() -> None:
    """Test first, then validation, then the own side; where a step only reports, its rows go on to be neighbours."""
    sides = np.array([TEST, VALIDATION, TRAIN, TRAIN, TRAIN, TRAIN])
    chain = near((0, 1), (1, 2), (2, 3))
    kept = neighbour_columns(apart(), chain, sides, ALL, set())
    assert kept["near_heldout"].tolist() == [0, 1, 1, 0, 0, 0]
    assert kept["near_copies"].tolist() == [0, 0, 0, 1, 0, 0]
    aside = neighbour_columns(apart(), chain, sides, ALL, {"near_heldout"})
    assert aside["near_heldout"].tolist() == [0, 1, 0, 0, 0, 0]
    assert aside["near_copies"].tolist() == [0, 0, 0, 1, 0, 0]
    copied = columns(completions=np.array([0, 0, 1, 0, 1, 2]))
    assert (
        neighbour_columns(copied, NONE, np.array([TEST] + [TRAIN] * 5), ALL, {"in_test"})["answers"].tolist() == [1] * 6
    )


def test_validation_is_kept_from_training_too() -> None:
    """A training row near a validation row is marked, a validation row near a training row is not."""
    sides = np.array([VALIDATION, TRAIN, TRAIN, TRAIN, TRAIN, TEST])
    assert neighbour_columns(apart(), near((0, 3)), sides, ALL, set())["near_heldout"].tolist() == [0, 0, 0, 1, 0, 0]


def test_a_prompt_has_as_many_answers_as_different_ones() -> None:
    """Equal ones count once, and those of rows set aside do not."""
    sides = np.full(6, TRAIN)
    assert neighbour_columns(columns(), NONE, sides, ALL, set())["answers"].tolist() == [2, 2, 2, 1, 1, 1]
    assert neighbour_columns(columns(), NONE, sides, np.arange(6) != 2, set())["answers"].tolist() == [1, 1, 1, 1, 1, 1]


def test_prompts_that_are_near_and_have_two_answers_are_conflicts() -> None:
    """On both ends; with unlike numbers of turns the later one has heard more, and is none."""
    sides = np.full(6, TRAIN)
    told = neighbour_columns(columns(), near((0, 1), (2, 3)), sides, ALL, set())
    assert told["near_conflicts"].tolist() == [0, 0, 1, 1, 1, 1]
    turns = np.array([1, 1, 1, 3, 1, 1])
    told = neighbour_columns(columns(turns=turns), near((0, 1), (2, 3)), sides, ALL, set())
    assert told["near_conflicts"].tolist() == [0, 0, 0, 0, 1, 1]


def test_of_near_copies_the_later_one_is_marked() -> None:
    """And no exact copy; rows of one prompt that are spelt otherwise are near-copies too."""
    sides = np.full(6, TRAIN)
    assert neighbour_columns(columns(), near((0, 1), (0, 2)), sides, ALL, set())["near_copies"].tolist() == [
        0,
        0,
        0,
        1,
        1,
        0,
    ]
    spelt = columns(ids=np.arange(6, dtype=np.uint64))
    assert neighbour_columns(spelt, NONE, sides, ALL, set())["near_copies"].tolist() == [0, 1, 0, 0, 0, 0]


def test_what_is_near_a_near_copy_alone_is_none() -> None:
    """Of three in a row the middle one goes; of four the second and the fourth; whatever order they are found in."""
    sides = np.full(6, TRAIN)
    for chain in (near((0, 1), (1, 2), (2, 3)), near((2, 3), (0, 1), (1, 2))):
        assert neighbour_columns(apart(), chain, sides, ALL, set())["near_copies"].tolist() == [0, 1, 0, 1, 0, 0]
    without = np.arange(6) > 0
    assert neighbour_columns(apart(), chain, sides, without, set())["near_copies"].tolist() == [0, 0, 1, 0, 0, 0]


def test_near_rows_on_two_sides_are_no_copies() -> None:
    """What becomes of them is said elsewhere."""
    sides = np.array([TEST] + [TRAIN] * 5)
    assert not neighbour_columns(apart(), near((0, 1)), sides, ALL, set())["near_copies"].any()
