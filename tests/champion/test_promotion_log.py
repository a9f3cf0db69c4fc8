from pathlib import Path

import pytest

from flows.champion.promotion_log import (
    Promotion,
    PromotionKind,
    append_promotion,
    commit_of_promotion,
    read_promotions,
    succession,
)
from flows.paths import PROMOTIONS
from pipeline.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path


def move(adapter: str, before: str | None, how: PromotionKind = "gate", state: str | None = None) -> Promotion:
    return Promotion(
        "colours", adapter, before, how=how, why="why", state=state, who="me", at="2026-01-02T03:04:05+00:00"
    )


def test_the_record_only_grows(root: Path) -> None:
    """What was written stays byte for byte; each name has its own moves, in their order."""
    append_promotion(root, move("a", None))
    before = (root / PROMOTIONS).read_bytes()
    append_promotion(root, Promotion("sounds", "s", None, how="gate", why="größer", state=None))
    append_promotion(root, move("b", "a"))
    assert (root / PROMOTIONS).read_bytes().startswith(before)
    assert read_promotions(root, "colours") == [move("a", None), move("b", "a")]
    assert [one.why for one in read_promotions(root, "sounds")] == ["größer"]


def test_without_a_record_nobody_was_champion(root: Path) -> None:
    """No file is no move, and nobody to go back to."""
    assert read_promotions(root, "colours") == []
    assert succession([]) == []


def test_a_reason_may_hold_any_character_and_an_editor_may_cut_the_last_line_end(root: Path) -> None:
    """Each move is a line of its own all the same."""
    why = "pasted from\u2028a chat\x85and\nanother"
    append_promotion(root, Promotion("colours", "a", None, how="promote", why=why, state=None))
    path = root / PROMOTIONS
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    append_promotion(root, move("b", "a"))
    assert [one.adapter for one in read_promotions(root, "colours")] == ["a", "b"]
    assert read_promotions(root, "colours")[0].why == why


@pytest.mark.parametrize(
    ("told", "champions"),
    [
        ([move("a", None), move("b", "a"), move("a", "b", "rollback"), move("a", "b", "rollback")], ["a"]),
        ([move("a", None, "rollback")], ["a"]),
        ([move("a", None)], ["a"]),
        ([move("b", "a")], ["a", "b"]),
        ([move("a", None), move("b", "a"), move("c", "b", "promote")], ["a", "b", "c"]),
        ([move("a", None), move("b", "a"), move("a", "b", "rollback")], ["a"]),
        ([move("a", None), move("b", "a"), move("c", "b"), move("b", "c", "rollback"), move("a", "b", "rollback")],
         ["a"]),
        ([move("a", None), move("b", "a"), move("a", "b", "rollback"), move("c", "a")], ["a", "c"]),
        ([move("a", None), move("b", "a"), move("a", "b", "promote")], ["a", "b", "a"]),
    ],
)  # fmt: skip
def test_one_goes_back_step_by_step(told: list[Promotion], champions: list[str]) -> None:
    """A rollback takes back what put the champion there, so that the next one goes further."""
    assert succession(told) == champions


def test_a_move_is_told_in_one_line() -> None:
    """When, how, by whom, which weights in place of which, and why."""
    told = move("0123456789abcdef", "fedcba9876543210", "promote").summary
    assert told == "2026-01-02T03:04:05+00:00 promote by me: 0123456789ab in place of fedcba987654: why"
    assert move("a", None).summary == "2026-01-02T03:04:05+00:00 gate by me: a: why"


def test_the_state_that_made_a_model_is_the_one_that_a_move_names() -> None:
    """The first that names any."""
    told = [move("a", None), move("b", "a", state="1"), move("a", "b", "promote", "2")]
    assert [commit_of_promotion(told, adapter) for adapter in "abc"] == ["2", "1", None]


@pytest.mark.parametrize("line", ["no json", "{}", "[]", '{"name": "colours", "another": 1}'])
def test_a_line_that_is_no_move_is_named(root: Path, line: str) -> None:
    """By its number, and it is not passed over."""
    append_promotion(root, move("a", None))
    with (root / PROMOTIONS).open("a", encoding="utf-8") as lines:
        lines.write(f"{line}\n")
    with pytest.raises(UserError) as caught:
        read_promotions(root, "colours")
    assert str(caught.value) == (
        "data/promotions.jsonl line 2: is no move of a champion; bring the file back with git"
    )  # fmt: skip
