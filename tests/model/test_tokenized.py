"""Laws of encoded pairs on disk."""

from pathlib import Path

import pytest

from pipeline.hashing import file_sha256
from pipeline.model.chat_template import Encoded
from pipeline.model.tokenized import TOKEN_BATCH_ROWS, find_tokens, in_batches, read_tokens, write_tokens

ROWS = [
    ("b", Encoded([1, 5, 2], 2)),
    ("a", Encoded([7], 0)),
    ("c", Encoded(list(range(2000)), 1999)),
    ("a", Encoded([2**31 - 1, 0], 1)),
]
TURNS = [("a", Encoded([1, 2, 3, 4, 5, 6], 5, ((1, 2), (3, 4)))), ("b", Encoded([1, 5, 2], 2))]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], []], ids=["several", "one", "none"])
def test_what_is_written_is_read_back(tmp_path: Path, rows: list[tuple[str, Encoded]]) -> None:
    """Rows come back equal and in the order written, however long they are and whatever their ids."""
    write_tokens(tmp_path / "rows.arrow", rows)
    assert read_tokens(tmp_path / "rows.arrow") == rows


def test_supervised_answers_within_a_prompt_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    """Of a row that has some, and of one that has none; a file without them is what it was before there were any."""
    write_tokens(tmp_path / "turns.arrow", TURNS, every_turn=True)
    assert read_tokens(tmp_path / "turns.arrow") == TURNS
    write_tokens(tmp_path / "rows.arrow", ROWS)
    assert file_sha256(tmp_path / "rows.arrow") == "c162183b00547f6e31c877496e6fe1d89ffc2cdbf4b3b1f38331fe1e069c7e83"


def test_rows_are_written_as_they_come(tmp_path: Path) -> None:
    """More than one batch of them, from a list or one after the other, are the same bytes and the same rows."""
    rows = [(f"{number:04}", Encoded([number, 7], 1)) for number in range(2 * TOKEN_BATCH_ROWS + 1)]
    write_tokens(tmp_path / "given", rows)
    write_tokens(tmp_path / "come", (row for row in rows))
    assert (tmp_path / "given").read_bytes() == (tmp_path / "come").read_bytes()
    assert read_tokens(tmp_path / "given") == rows
    assert find_tokens(tmp_path / "given", ["2000", "0001", "none"]) == {"0001": rows[1][1], "2000": rows[2000][1]}


def test_batches_are_full_but_for_the_last() -> None:
    """Whatever is left is the last one, and of nothing there is none."""
    assert [len(some) for some in in_batches(range(2 * TOKEN_BATCH_ROWS + 1))] == [
        TOKEN_BATCH_ROWS,
        TOKEN_BATCH_ROWS,
        1,
    ]
    assert list(in_batches(iter([]))) == []


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    """A second writing of the same rows is the same file, and of other rows another one."""
    for name, rows in {"first": ROWS, "second": ROWS, "other": ROWS[::-1]}.items():
        write_tokens(tmp_path / name, rows)
    first, second, other = ((tmp_path / name).read_bytes() for name in ("first", "second", "other"))
    assert first == second != other
