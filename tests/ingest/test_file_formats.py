from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.ingest.file_formats import detect_format
from tests.support.sources import asked

JSONL, LIST = b'{"a": 1}\n{"a": 2}\n', b'[{"a": 1}, {"a": 2}]'


def found(folder: Path, name: str, body: bytes, **values: Any) -> str:
    """What a file is said to be."""
    path = folder / name
    path.write_bytes(body)
    return str(detect_format(path, asked(**values)))


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("a.jsonl", JSONL, "JSON lines, since its suffix is .jsonl"),
        ("a.json", LIST, "a JSON list, since its suffix is .json"),
        ("a.json", JSONL, "JSON lines, since its first line is a JSON object"),
        ("a.jsonl", LIST, "a JSON list, since it is one JSON list"),
        ("a.txt", JSONL, "JSON lines, since its first line is a JSON object"),
        ("a.csv", b"p,c\na,b\n", "a table with ',' between columns, since its suffix is .csv"),
        ("a.csv", b"p;c\na;b, c\n", "a table with ';' between columns, since its suffix is .csv"),
        ("a.tsv", b"p\tc\na\tb, c\n", "a table with '\\t' between columns, since its suffix is .tsv"),
        ("a.txt", b"p|c\na|b\n", "a table with '|' between columns, since its first line has 2 columns"),
        ("a.csv", "\ufeffp,c\nä,b\n".encode("utf-16-le"),
         "a table in utf-16-le with ',' between columns, since its suffix is .csv"),
    ],
)  # fmt: skip
def test_a_file_is_what_it_begins_as_else_what_its_ending_says(
    tmp_path: Path, name: str, body: bytes, told: str
) -> None:
    """With the reason, in words."""
    assert found(tmp_path, name, body) == told


def test_params_decide(tmp_path: Path) -> None:
    """A format or a delimiter that is named holds."""
    assert found(tmp_path, "a.txt", JSONL, format="csv", delimiter=";").startswith("a table with ';'")
    assert found(tmp_path, "a.json", LIST, format="jsonl") == "JSON lines, as ingest.sources says"
    assert found(tmp_path, "a.txt", b"p;c,d\na;b,c\n", delimiter=",") == (
        "a table with ',' between columns, since ingest.sources names its delimiter"
    )


@pytest.mark.parametrize(
    ("name", "body", "line"),
    [
        ("a.txt", b"just words\n", "may be anything: its suffix '.txt' is unknown, and it begins neither as JSON nor"),
        ("a.csv", b"p,c;d\na,b;c\n", r"its columns may be parted by ',' or by ';'; got p,c;d; name its delimiter"),
        ("a.jsonl", b"", "is empty; put pairs into it"),
        ("a.jsonl", b'{"a": "\0"}', "is binary; expected jsonl in UTF-8"),
    ],
)
def test_what_may_be_several_things_asks_for_the_setting(tmp_path: Path, name: str, body: bytes, line: str) -> None:
    """By its name in params."""
    with pytest.raises(UserError, match=line):
        found(tmp_path, name, body)
