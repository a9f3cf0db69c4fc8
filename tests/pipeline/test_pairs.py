import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.files import count_values, read_json, write_json  # fmt: skip
from pipeline.ingest.stage import read_file
from pipeline.pairs import (
    READ_ROWS,
    Message,
    Pair,
    Quarantined,
    iterate_pairs,
    quarantine_pair,
    read_pairs,
    read_quarantine,
    write_pairs,
    write_quarantine,
)
from pipeline.validate.columns import split_group
from tests.support.sources import asked, records_of

SUM = Pair((Message("user", "What is 2 + 2?"),), "4", "sums.jsonl", 1, None, b"{}")
ASKED, ANSWERED = 'Wo ist "Köln", bitte?\nUnd Bonn? 🚂', "am Rhein, beide"
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {"prompt": ASKED, "completion": ANSWERED},
    "openai": {"messages": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED}]},
    "sharegpt": {"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": ANSWERED}]},
    "alpaca": {"instruction": ASKED, "input": "", "output": ANSWERED},
}
TABLE_SHAPES = {"plain", "alpaca"}
"""Those without lists, which CSV cannot hold."""


def write_csv(path: Path, row: dict[str, str]) -> None:
    """Write one row as CSV with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(row))
        table.writeheader()
        table.writerow(row)


WRITERS = {
    "jsonl": lambda path, row: path.write_text("\n\n" + json.dumps(row) + "\n", encoding="utf-8"),
    "json": lambda path, row: path.write_text(json.dumps([row], ensure_ascii=False), encoding="utf-8"),
    "csv": write_csv,
    "parquet": lambda path, row: pq.write_table(pa.Table.from_pylist([row]), path),
}


def only_pair(path: Path) -> Pair:
    """Read the one pair of a file as ingest does."""
    (pair,) = read_file(asked(), path.name, records_of(path, asked()))
    assert isinstance(pair, Pair)
    return pair


def test_the_id_of_a_pair_never_changes() -> None:
    """The content hash is pinned, since samples and comparisons across years go by it."""
    assert SUM.id == "5d064d543cf62ecf"


def test_the_group_of_a_pair_never_changes() -> None:
    """The hash that the split goes by is pinned: another one would move rows between training and test."""
    assert split_group(SUM.prompt) == "692a9daa52e42c50943f4784c639bfc764157d6b4b90b5d3306df697f29d12e7"


@pytest.mark.parametrize(
    ("ending", "shape"),
    [(ending, shape) for ending in WRITERS for shape in SHAPES if ending != "csv" or shape in TABLE_SHAPES],
)
def test_the_same_pair_has_the_same_id_in_every_format(tmp_path: Path, ending: str, shape: str) -> None:
    """Format, shape, file name and row do not enter the id."""
    row, path = SHAPES[shape], tmp_path / f"{shape}.{ending}"
    WRITERS[ending](path, row)
    pair = only_pair(path)
    assert (pair.messages, pair.completion) == ((Message("user", ASKED),), ANSWERED)
    assert pair.id == "5c6e852c52c03831"


@pytest.mark.parametrize(
    "other",
    [
        replace(SUM, source="other.csv"),
        replace(SUM, row=99),
        replace(SUM, split="test"),
        replace(SUM, raw=b"4"),
    ],
)
def test_where_a_pair_came_from_is_no_part_of_its_id(other: Pair) -> None:
    """Source, row, wanted split and bytes do not enter the id."""
    assert other != SUM
    assert other.id == SUM.id


@pytest.mark.parametrize(
    "other",
    [
        replace(SUM, completion="four"),
        replace(SUM, completion="4 "),
        replace(SUM, messages=(Message("user", "what is 2 + 2?"),)),
        replace(SUM, messages=(Message("system", "What is 2 + 2?"),)),
        replace(SUM, messages=(Message("user", "What is"), Message("user", "2 + 2?"))),
        replace(SUM, messages=(Message("user", "What is 2 + 2?"), Message("user", ""))),
        replace(SUM, messages=(Message("user", "What is 2 + 2?4"),), completion=""),
        replace(SUM, messages=(Message("user", "What is 2 + 2?", learn=False),)),
    ],
)
def test_whatever_a_model_would_see_is_part_of_the_id(other: Pair) -> None:
    """Each character, role and boundary between turns makes another pair, and so does what is not to be learnt."""
    assert other.id != SUM.id


@pytest.mark.parametrize("prompt", ["what is 2 + 2?", "WHAT IS 2 + 2?", "  What\tis 2 \n+ 2? ", "What is\u00a02 + 2?"])
def test_prompts_that_differ_by_case_and_blanks_are_one_group(prompt: str) -> None:
    """They do not part a group."""
    assert split_group(prompt) == split_group(SUM.prompt)


@pytest.mark.parametrize("prompt", ["What is 2 + 3?", "What is 2 + 2", "Whatis 2 + 2?", ""])
def test_prompts_that_say_something_else_are_another_group(prompt: str) -> None:
    """A word, a mark or a missing blank parts a group."""
    assert split_group(prompt) != split_group(SUM.prompt)


def test_the_prompt_is_every_turn_before_the_answer() -> None:
    """Checks and people read all turns of the prompt, one below the other, and not the completion."""
    turns = (Message("system", "Add."), Message("user", "1 + 1?"), Message("assistant", "2"), Message("user", "+ 3?"))
    assert replace(SUM, messages=turns).prompt == "Add.\n1 + 1?\n2\n+ 3?"


def test_pairs_come_back_as_they_were_written(tmp_path: Path, pairs: list[Pair]) -> None:
    """Order, turns, odd characters, empty texts, wanted splits and raw bytes survive the file."""
    odd = Pair(
        (Message("system", ""), Message("user", "naïve 🚂\r\n\t\u2028 'x' \"y\" \\"),
         Message("assistant", "", learn=False)),
        "", "ä/ö.jsonl", 2**40, "test", b"\xff\x00\xfe",
    )  # fmt: skip
    written = [*pairs[::-1], odd, SUM]
    write_pairs(tmp_path / "pairs.parquet", written)
    assert read_pairs(tmp_path / "pairs.parquet") == written


def test_pairs_come_one_after_the_other(tmp_path: Path, pairs: list[Pair]) -> None:
    """In the order written, over every row group, and from a file that is closed when the last one was given."""
    path = tmp_path / "pairs.parquet"
    many = [replace(pairs[number % len(pairs)], row=number) for number in range(2 * READ_ROWS + 1)]
    write_pairs(path, many)
    pq.write_table(pq.read_table(path), path, row_group_size=700)
    assert list(iterate_pairs(path)) == many


def test_no_pairs_are_a_file_too(tmp_path: Path) -> None:
    """An empty split is written and read back as an empty list."""
    write_pairs(tmp_path / "none.parquet", [])
    write_quarantine(tmp_path / "no_rows.parquet", [])
    assert read_pairs(tmp_path / "none.parquet") == []
    assert read_quarantine(tmp_path / "no_rows.parquet") == []


def test_the_same_pairs_give_the_same_bytes(tmp_path: Path, pairs: list[Pair]) -> None:
    """A file of pairs has no date, no chance and no order but the given one in it."""
    first, again, turned = (tmp_path / f"{name}.parquet" for name in ("first", "again", "turned"))
    write_pairs(first, pairs)
    write_pairs(again, iter(read_pairs(first)))
    write_pairs(turned, pairs[::-1])
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != turned.read_bytes()


def test_ids_stand_in_the_file_for_other_programs(tmp_path: Path, pairs: list[Pair]) -> None:
    """Whoever reads the Parquet file without this code finds the same ids in it."""
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert pq.read_table(tmp_path / "pairs.parquet")["id"].to_pylist() == [pair.id for pair in pairs]


def test_rows_set_aside_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Source, row, reason, detail and the very bytes survive the file, UTF-8 or not."""
    rows = [
        Quarantined("ä.jsonl", 3, "not_utf8", "byte 0 of the line", b"\xff{"),
        quarantine_pair(SUM, "too_long", "9 tokens"),
    ]
    write_quarantine(tmp_path / "quarantine.parquet", rows)
    assert read_quarantine(tmp_path / "quarantine.parquet") == rows


def test_a_pair_set_aside_is_still_the_row_that_the_user_wrote() -> None:
    """Setting a pair aside keeps its file, its row and its bytes, and adds why."""
    pair = replace(SUM, row=7, raw=b'{"my": "bytes"}')
    assert quarantine_pair(pair, "why", "how") == Quarantined("sums.jsonl", 7, "why", "how", b'{"my": "bytes"}')


def test_json_is_written_for_people_and_diffs(tmp_path: Path) -> None:
    """Keys are sorted, letters are letters, and the file ends with one newline."""
    path = tmp_path / "report.json"
    write_json(path, {"b": ["ü", 1.5], "a": None})
    assert path.read_bytes() == '{\n  "a": null,\n  "b": [\n    "ü",\n    1.5\n  ]\n}\n'.encode()
    assert read_json(path) == {"a": None, "b": ["ü", 1.5]}


def test_counts_name_the_commonest_first_and_equals_by_name() -> None:
    """The order of a count does not hang on the order of what was counted."""
    assert list(count_values(["c", "b", "b", "a", "d", "d"]).items()) == [("b", 2), ("d", 2), ("a", 1), ("c", 1)]
