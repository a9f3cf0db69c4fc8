"""Laws of encoded pairs on disk."""

from pathlib import Path

import pytest

from pipeline.digests import file_sha256
from pipeline.prompt import Encoded
from pipeline.tokens import read_tokens, write_tokens

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


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    """A second writing of the same rows is the same file, and of other rows another one."""
    for name, rows in {"first": ROWS, "second": ROWS, "other": ROWS[::-1]}.items():
        write_tokens(tmp_path / name, rows)
    first, second, other = ((tmp_path / name).read_bytes() for name in ("first", "second", "other"))
    assert first == second != other
