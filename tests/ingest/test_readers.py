import csv
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.ingest.readers import SourceRecord
from tests.support.sources import asked, records_of

ROWS = [{"prompt": "Was it 5 °C?", "completion": "yes"}, {"prompt": 'He said "no", twice', "completion": "no"}]
MEND = "mend it; for one value a line, call it .jsonl"
BOM = b"\xef\xbb\xbf"
DIGITS = b"1" * 5000
"""A number longer than Python converts by itself."""


def records(path: Path, content: bytes | str, **values: Any) -> list[SourceRecord]:
    """Write a file and read its rows."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return records_of(path, asked(**values))


def refusal(path: Path, content: bytes | str, **values: Any) -> str:
    """Write a file that cannot be read; the error's text without the folder."""
    with pytest.raises(UserError) as caught:
        records(path, content, **values)
    return str(caught.value).removeprefix(f"{path.parent}/")


def jsonl() -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()


def table(delimiter: str) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["prompt", "completion"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue().encode()


def parquet(rows: list[dict[str, Any]], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "values"),
    [
        ("a.jsonl", jsonl(), {}),
        ("a.ndjson", jsonl(), {}),
        ("a.json", json.dumps(ROWS), {}),
        ("a.csv", table(","), {}),
        ("a.tsv", table("\t"), {}),
        ("a.parquet", parquet(ROWS), {}),
        ("A.JSONL", jsonl(), {}),
        ("with.dots.csv", table(","), {}),
        ("a.jsonl", BOM + jsonl(), {}),
        ("a.json", BOM + json.dumps(ROWS).encode(), {}),
        ("a.csv", BOM + table(","), {}),
        ("a.jsonl", jsonl().replace(b"\n", b"\r\n") + b"\r\n", {}),
        ("a.jsonl", jsonl().replace(b"\n", b"\n\n  \n") + b"\n", {}),
        ("a.csv", table(",").replace(b"\r\n", b"\n"), {}),
        ("a.csv", table(",") + b"\r\n", {}),
        ("a.txt", jsonl(), {"format": "jsonl"}),
        ("a.json", jsonl(), {"format": "jsonl"}),
        ("a.data", json.dumps(ROWS), {"format": "json"}),
        ("noending", table(","), {"format": "csv"}),
        ("a.bin", parquet(ROWS), {"format": "parquet"}),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, content: bytes, values: dict[str, Any]) -> None:
    """Whatever the format, its suffix, its line ends or its byte-order mark, the values that come out are the same."""
    found = records(tmp_path / name, content, **values)
    assert [record.value for record in found] == ROWS
    assert [record.fault for record in found] == [None, None]


def test_a_row_of_json_lines_has_the_number_of_its_line(tmp_path: Path) -> None:
    """Empty lines are no rows, and yet count as lines, so that an editor finds the row."""
    found = records(tmp_path / "a.jsonl", '\n{"a": 1}\n\n   \n {"a": 2} \r\n{"a": 3}')
    assert [(record.row, record.raw) for record in found] == [(2, b'{"a": 1}'), (5, b' {"a": 2} '), (6, b'{"a": 3}')]


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    """Line separators of Unicode inside a text do not tear a row apart."""
    row = {"prompt": "one\u2028two\u2029three\x85four"}
    (record,) = records(tmp_path / "a.jsonl", json.dumps(row, ensure_ascii=False))
    assert record.value == row


def test_a_bad_line_is_a_row_with_its_fault_and_its_bytes(tmp_path: Path) -> None:
    """A line that is not UTF-8 or not JSON comes out with why and as it was, and the lines after it are read."""
    found = records(tmp_path / "a.jsonl", b'{"a": "\xff"}\nhello\n{"a": 1}\n')
    assert found == [
        SourceRecord(
            1,
            b'{"a": "\xff"}',
            fault=("not_utf8", "byte 7 of the line; if the whole file has another encoding, name it in ingest.sources"),
        ),
        SourceRecord(2, b"hello", fault=("not_json", "Expecting value: line 1 column 1 (char 0)")),
        SourceRecord(3, b'{"a": 1}', {"a": 1}),
    ]


@pytest.mark.parametrize("line", [b"[" * 100_000, DIGITS, b'{"a": ' + DIGITS + b"}"], ids=["deep", "long", "inside"])
def test_a_line_that_python_cannot_hold_is_a_row_with_its_fault(tmp_path: Path, line: bytes) -> None:
    """JSON nested too deep, or a number too long to convert, is a bad row like any other and stops nothing."""
    bad, good = records(tmp_path / "a.jsonl", line + b'\n{"a": 1}')
    assert (bad.row, bad.raw, bad.value) == (1, line, None)
    assert bad.fault is not None
    assert bad.fault[0] == "not_json"
    assert good == SourceRecord(2, b'{"a": 1}', {"a": 1})


def test_rows_of_one_json_list_are_counted_from_one(tmp_path: Path) -> None:
    """Each element is a row with its own bytes, object or not."""
    found = records(tmp_path / "a.json", '[{"a": "ü"}, 3, null]')
    assert found == [
        SourceRecord(1, '{"a": "ü"}'.encode(), {"a": "ü"}),
        SourceRecord(2, b"3", 3),
        SourceRecord(3, b"null", None),
    ]


def test_half_a_character_in_a_json_list_is_kept_as_it_was_written(tmp_path: Path) -> None:
    r"""A lone surrogate, as programs that cut emoji leave it, keeps its escape in the row's bytes."""
    (record,) = records(tmp_path / "a.json", '[{"a": "\\ud83d!"}]')
    assert record.raw == b'{"a": "\\ud83d!"}'


def test_a_row_of_a_table_counts_the_header_as_one(tmp_path: Path) -> None:
    """The first row below the header is row 2, as a spreadsheet shows it; a quoted line break is part of its row."""
    found = records(tmp_path / "a.csv", 'a,b\n1,"two\nlines"\n\n3,4\n')
    assert [(record.row, record.value) for record in found] == [
        (2, {"a": "1", "b": "two\nlines"}),
        (4, {"a": "3", "b": "4"}),
    ]


@pytest.mark.parametrize(
    ("line", "fields", "raw"),
    [("1", 1, b"1"), ("1,2,3", 3, b"1,2,3"), ('1,"x,y","said ""no"""', 3, b'1,"x,y","said ""no"""')],
)
def test_a_row_with_too_few_or_too_many_fields_keeps_its_bytes(
    tmp_path: Path, line: str, fields: int, raw: bytes
) -> None:
    """Fields are never shifted under other columns: the row comes out with its count and its fields as CSV."""
    bad, good = records(tmp_path / "a.csv", f"a,b\n{line}\n5,6\n")
    assert bad == SourceRecord(2, raw, fault=("ragged", f"{fields} fields under 2 columns"))
    assert good.value == {"a": "5", "b": "6"}


def test_a_field_may_be_as_long_as_it_likes(tmp_path: Path) -> None:
    """Python's own limit for a CSV field does not stop the run: how long a text may be is for validate to say."""
    long = "word " * 40_000
    first, second = records(tmp_path / "a.csv", f"a,b\n{long},1\nx,2\n")
    assert (first.value, second.value) == ({"a": long, "b": "1"}, {"a": "x", "b": "2"})


def test_a_quote_that_is_never_closed_swallows_no_rows(tmp_path: Path) -> None:
    """An open quote would make one text of all rows after it, so the file is refused with the line where it opens."""
    text = 'prompt,completion\na,b\nc,"never closed\nd,e\nf,g\n'
    line = refusal(tmp_path / "a.csv", text)
    assert line == "a.csv: line 3 is not CSV: unexpected end of data; close its quotes, and double those inside a text"


def test_rows_of_parquet_are_counted_from_one_over_all_row_groups(tmp_path: Path) -> None:
    """Nested turns come out as lists of objects, whatever the size of the row groups."""
    rows = [{"messages": [{"role": "user", "content": f"question {number}"}]} for number in range(7)]
    found = records(tmp_path / "a.parquet", parquet(rows, row_group_size=3))
    assert [(record.row, record.value) for record in found] == list(enumerate(rows, start=1))
    assert [json.loads(record.raw) for record in found] == rows


def test_values_of_parquet_that_json_lacks_do_not_stop_the_run(tmp_path: Path) -> None:
    """A date or bytes beside the pair are written into the raw bytes as text."""
    (record,) = records(tmp_path / "a.parquet", parquet([{"prompt": "a", "day": date(2024, 5, 1), "blob": b"\xff"}]))
    assert record.raw == b'{"prompt": "a", "day": "2024-05-01", "blob": "b\'\\\\xff\'"}'


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_table_with_two_columns_of_one_name_is_refused(tmp_path: Path, name: str) -> None:
    """One of the two would be lost, and nobody could say which was meant."""
    comma = "," if name == "a.csv" else "\t"
    line = refusal(tmp_path / name, comma.join(["prompt", "completion", "completion"]).encode() + b"\n")
    assert line == f"{name}: has two columns 'completion'; got prompt, completion, completion; rename one"


@pytest.mark.parametrize(
    ("column", "other"), [("prompt_column", "completion_column"), ("completion_column", "prompt_column")]
)
@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", table(",")), ("a.tsv", table("\t")), ("a.parquet", parquet(ROWS))]
)
def test_a_table_without_a_named_column_is_refused(
    tmp_path: Path, name: str, content: bytes, column: str, other: str
) -> None:
    """A column that params name and the table lacks is one error for the file, not one bad row after another."""
    line = refusal(tmp_path / name, content, **{column: "question", other: "prompt"})
    assert line == f"{name}: has no column 'question'; got prompt, completion; name its columns in ingest.sources"


@pytest.mark.parametrize(
    "content",
    [
        b"no table",
        b"PAR1" + b"junk" * 10 + b"PAR1",
        b"PAR1" + b"junk" * 10 + b"\x10\0\0\0PAR1",
        parquet(ROWS)[:-20],
        parquet(ROWS)[:4] + b"\xff" * 40 + parquet(ROWS)[44:],
    ],
    ids=["other", "junk", "footer", "cut", "page"],
)
def test_a_damaged_parquet_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """Wherever the damage is, in the footer or in a page, it is one line and no traceback."""
    line = refusal(tmp_path / "a.parquet", content)
    assert line.startswith("a.parquet: is not Parquet: ")
    assert line.endswith("; check the file, or name its format in ingest.sources")
    assert "\n" not in line


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[" + DIGITS + b"]"], ids=["deep", "long"])
def test_a_json_file_that_python_cannot_hold_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """Nesting too deep or a number too long is said of the file, without a traceback."""
    line = refusal(tmp_path / "a.json", content)
    assert line.startswith("a.json: line 1 is not JSON as a list of rows: ")
    assert line.endswith(f"; {MEND}")
