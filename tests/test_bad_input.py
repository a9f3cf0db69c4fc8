"""Every kind of bad input, with the very line or reason that it gives; whatever is wrong with a row, no row is lost."""

import gzip
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asked import asked, ingest

from pipeline.ingest import run
from pipeline.pairs import Quarantined, read_json, read_pairs, read_quarantine
from pipeline.problem import Problem

GOOD = {"prompt": "good", "completion": "row"}
ASKED, ANSWERED = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
SYSTEM = {"role": "system", "content": "Be brief."}
TOLD = "; if the whole file has another encoding, name it in ingest.sources"
ENCODING = "name its encoding in ingest.sources (latin-1, cp1252, utf-16, ...), or save it as UTF-8"
MEND = "mend it; for one value a line, call it .jsonl"
UNPACK = "copy or compress the file again"
EXPORT = "export it as text, or name its format or its encoding in ingest.sources"
ANYTHING = "expected .jsonl, .ndjson, .json, .csv, .tsv, .parquet; name its format in ingest.sources"
LINES = b"".join(json.dumps({"prompt": f"question {n}", "completion": str(n)}).encode() + b"\n" for n in range(5000))


def parquet(*rows: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), out)
    return out.getvalue()


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


def messages(*turns: Any, **beside: Any) -> dict[str, Any]:
    return {"messages": list(turns), **beside}


@dataclass(frozen=True)
class BadFile:
    """A file that stops the run: its name, what is in it, what is asked of it, and the line that says so."""

    kind: str
    name: str
    content: bytes
    line: str
    asked: tuple[tuple[str, Any], ...] = ()


FILES = [
    BadFile("empty", "a.jsonl", b"", "is empty; put pairs into it, or take it out of ingest.sources"),
    BadFile("empty archive", "a.jsonl.gz", gzip.compress(b""),
            "is empty; put pairs into it, or take it out of ingest.sources"),
    BadFile("binary", "a.jsonl", b"PK\x03\x04\0\0", f"is binary; expected jsonl in UTF-8; {EXPORT}"),
    BadFile("binary of unknown ending", "a.xlsx", b"PK\x03\x04\0\0", f"is binary; expected text in UTF-8; {EXPORT}"),
    BadFile("UTF-16 without a mark", "a.csv", "prompt,completion\na,b\n".encode("utf-16-le"),
            f"is binary; expected csv in UTF-8; {EXPORT}"),
    BadFile("unknown ending and beginning", "a.txt", b"hello\nthere\n",
            "may be anything: its ending '.txt' is unknown, and it begins neither as JSON nor as a table; " + ANYTHING),
    BadFile("one object over many lines", "a.txt", b'{\n"prompt": "a"\n}\n',
            "may be anything: its ending '.txt' is unknown, and it begins neither as JSON nor as a table; " + ANYTHING),
    BadFile("two delimiters", "a.csv", b"prompt;completion,note\na;b,c\n",
            "its columns may be parted by ',' or by ';'; got prompt;completion,note; name its delimiter in "
            "ingest.sources"),
    BadFile("gzip cut off", "a.jsonl.gz", gzip.compress(LINES, mtime=0)[:-20],
            f"cannot be unpacked as gzip: Truncated compressed stream; {UNPACK}"),
    BadFile("zstd cut off", "a.jsonl.zst", zstd(LINES)[:-3],
            f"cannot be unpacked as zstd: Truncated compressed stream; {UNPACK}"),
    BadFile("gzip with another sum", "a.jsonl.gz", gzip.compress(LINES, mtime=0)[:-8] + b"\0" * 8,
            f"cannot be unpacked as gzip: zlib inflate failed: incorrect data check; {UNPACK}"),
    BadFile("no gzip in .gz", "a.jsonl.gz", LINES,
            f"cannot be unpacked as gzip: zlib inflate failed: incorrect header check; {UNPACK}"),
    BadFile("gzip not called so", "a.jsonl", gzip.compress(LINES, mtime=0),
            "is compressed with gzip; unpack it, or end its name in .gz"),
    BadFile("compressed twice", "a.jsonl.gz", gzip.compress(gzip.compress(LINES, mtime=0), mtime=0),
            "is compressed with gzip in it again; unpack it, or end its name in .gz"),
    BadFile("Parquet in an archive", "a.parquet.gz", gzip.compress(parquet(GOOD), mtime=0),
            "is Parquet inside an archive; unpack it: Parquet is compressed in itself"),
    BadFile("a table in Latin-1", "a.csv", "prompt,completion\na,b\nü,c\n".encode("latin-1"),
            f"line 3 is not UTF-8: invalid start byte (byte fc); {ENCODING}"),
    BadFile("a list in Latin-1", "a.json", '[\n{"prompt": "ü"}]'.encode("latin-1"),
            f"line 2 is not UTF-8: invalid start byte (byte fc); {ENCODING}"),
    BadFile("another encoding than named", "a.csv", b"prompt,completion\na,b\nc,\x81\n",
            f"line 3 is not cp1252: character maps to <undefined> (byte 81); {ENCODING}", (("encoding", "cp1252"),)),
    BadFile("UTF-16 cut off", "a.csv", "prompt,completion\na,b\n".encode("utf-16")[:-1],
            f"line 2 is not utf-16-le: truncated data (byte 0a); {ENCODING}"),
    BadFile("a mark of another encoding", "a.csv", b"\xef\xbb\xbfprompt,completion\na,b\n",
            "begins with the mark of utf-8; got encoding: cp1252; set encoding: null", (("encoding", "cp1252"),)),
    BadFile("an open quote", "a.csv", b'prompt,completion\na,b\nc,"never closed\nd,e\n',
            "line 3 is not CSV: unexpected end of data; close its quotes, and double those inside a text"),
    BadFile("text behind a quote", "a.csv", b'prompt,completion\n"a"b,c\n',
            "line 2 is not CSV: ',' expected after '\"'; close its quotes, and double those inside a text"),
    BadFile("two columns of one name", "a.csv", b"prompt,completion,completion\na,b,c\n",
            "has two columns 'completion'; got prompt, completion, completion; rename one"),
    BadFile("no such column", "a.csv", b"text,label\na,b\n",
            "has no column 'category'; got text, label; name its columns in ingest.sources",
            (("prompt_column", "text"), ("completion_column", "category"))),
    BadFile("one object instead of a list", "a.json", b'{"prompt": "a"}',
            f"line 1 is not JSON as a list of rows: dict is not a list; {MEND}"),
    BadFile("no JSON", "a.json", b"hello", f"line 1 is not JSON as a list of rows: Expecting value; {MEND}"),
    BadFile("a list cut off", "a.json", b'[{"prompt": "a",\n"completion": "b"},\n{"prompt": "c',
            f"line 3 is not JSON as a list of rows: Unterminated string starting at; {MEND}"),
    BadFile("a list without an end", "a.json", b'[{"prompt": "a", "completion": "b"}\n',
            f"line 2 is not JSON as a list of rows: expecting ',' or ']' behind a row; {MEND}"),
    BadFile("a list with a comma too many", "a.json", b'[{"prompt": "a", "completion": "b"},\n]',
            f"line 2 is not JSON as a list of rows: Expecting value; {MEND}"),
    BadFile("two lists", "a.json", b'[\n{"prompt": "a", "completion": "b"}]\n[{}]',
            f"line 3 is not JSON as a list of rows: more stands behind the list; {MEND}"),
    BadFile("a header alone", "a.csv", b"prompt,completion\n",
            "not one row is a pair; got no rows at all; write them as prompt and completion, messages, conversations, "
            "or instruction and output, or name the columns in ingest.sources"),
    BadFile("rows of no known shape", "a.jsonl", b'{"text": "a", "label": "b"}\n',
            "not one row is a pair; got 1 no_known_shape; first: a.jsonl row 1: fields: label, text; write them as "
            "prompt and completion, messages, conversations, or instruction and output, or name the columns in "
            "ingest.sources"),
]  # fmt: skip


@pytest.mark.parametrize("bad", FILES, ids=lambda bad: bad.kind)
def test_a_bad_file_stops_the_run_with_its_line(tmp_path: Path, bad: BadFile) -> None:
    """The error is one line that says where, what and what to do, and nothing is written."""
    (tmp_path / bad.name).write_bytes(bad.content)
    with pytest.raises(Problem) as caught:
        run(ingest(tmp_path, asked(path=bad.name, **dict(bad.asked))), tmp_path / "data")
    assert str(caught.value) == f"{tmp_path / bad.name}: {bad.line}"
    assert not (tmp_path / "data" / "ingest").exists()


@dataclass(frozen=True)
class BadRow:
    """A row that is set aside: the row (bytes as they stand, else as JSON), the reason, and what is said of it."""

    row: Any
    reason: str
    detail: str

    @property
    def raw(self) -> bytes:
        """The row as it stands in the file."""
        return self.row if isinstance(self.row, bytes) else json.dumps(self.row).encode()


PREFERENCE = "two answers of which one is preferred, which are not trained on; write the better one as completion"
NO_TEXT = "that is no text"
ROWS = [
    BadRow(b'{"prompt": "a", "compl', "not_json", "Unterminated string starting at: line 1 column 17 (char 16)"),
    BadRow(b'{"prompt": "a", "completion": "b"} {}', "not_json", "Extra data: line 1 column 36 (char 35)"),
    BadRow(b'{"prompt": "caf\xe9", "completion": "b"}', "not_utf8", f"byte 15 of the line{TOLD}"),
    BadRow(["a", "b"], "not_an_object", "got list"),
    BadRow("a", "not_an_object", "got str"),
    BadRow(None, "not_an_object", "got NoneType"),
    BadRow({}, "no_known_shape", "fields: none"),
    BadRow({"prompt": "a"}, "no_known_shape", "fields: prompt"),
    BadRow({"question": "a", "answer": "b"}, "no_known_shape", "fields: answer, question"),
    BadRow({"instruction": "a"}, "no_known_shape", "fields: instruction"),
    BadRow({"prompt": 4, "completion": "b"}, "not_text", "the user turn is int"),
    BadRow({"prompt": "a", "completion": None}, "not_text", "the assistant turn is NoneType"),
    BadRow({"prompt": ["a"], "completion": "b"}, "not_text", "the user turn is list"),
    BadRow(messages({"role": "user", "content": []}, ANSWERED), "not_text", "the user turn is list"),
    BadRow(messages({"role": "user"}, ANSWERED), "not_text", "the user turn is NoneType"),
    BadRow({"instruction": 4, "output": "b"}, "not_text", "the user turn is int"),
    BadRow({"instruction": "a", "input": {"b": 1}, "output": "b"}, "not_text", "the user turn is dict"),
    BadRow({"instruction": "a", "output": 4}, "not_text", "the assistant turn is int"),
    BadRow({"instruction": "a", "output": "b", "history": [["c", "d"]]}, "history",
           "turns before the instruction; write the row as messages"),
    BadRow(messages(ASKED, {**ANSWERED, "tool_calls": [{"id": "1"}]}), "tool_calls",
           "a turn calls tools, which are not trained on"),
    BadRow(messages(ASKED, {**ANSWERED, "function_call": {"name": "f"}}), "tool_calls",
           "a turn calls tools, which are not trained on"),
    BadRow(messages(ASKED, {"role": "tool", "content": "a"}, ANSWERED), "tool_role",
           "a turn is by 'tool', which is not trained on"),
    BadRow({"conversations": [{"from": "human", "value": "a"}, {"from": "observation", "value": "b"}]}, "tool_role",
           "a turn is by 'observation', which is not trained on"),
    BadRow(messages(ASKED, ANSWERED, tools=[{"type": "function"}]), "tools",
           "the row has tools, which are not trained on"),
    BadRow(messages(ASKED, ANSWERED, functions=[{"name": "f"}]), "tools",
           "the row has functions, which are not trained on"),
    BadRow(messages(ASKED, ANSWERED, parallel_tool_calls=True), "tools",
           "the row has parallel_tool_calls, which are not trained on"),
    BadRow(messages(ASKED, {**ANSWERED, "weight": 0}), "weight_zero",
           "the last answer has weight 0: it is not to be trained on"),
    BadRow(messages(ASKED, {**ANSWERED, "weight": 0.5}), "bad_weight", "expected 0 or 1, got 0.5"),
    BadRow(messages(ASKED, {**ANSWERED, "weight": True}), "bad_weight", "expected 0 or 1, got True"),
    BadRow(messages(ASKED, {**ANSWERED, "weight": "1"}), "bad_weight", "expected 0 or 1, got '1'"),
    BadRow(messages({**ASKED, "weight": 1}, ANSWERED), "bad_weight",
           "the user turn has a weight; only answers have one"),
    BadRow(messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}, ANSWERED),
           "not_only_text", f"the user turn has a part of type 'image_url' {NO_TEXT}"),
    BadRow(messages({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_audio"}]}, ANSWERED),
           "not_only_text", f"the user turn has a part of type 'input_audio' {NO_TEXT}"),
    BadRow(messages(ASKED, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}),
           "not_only_text", f"the assistant turn has a part of type 'refusal' {NO_TEXT}"),
    BadRow(messages({"role": "user", "content": [{"type": "text", "text": 4}]}, ANSWERED),
           "not_only_text", f"the user turn has a part of type 'text' {NO_TEXT}"),
    BadRow(messages(ASKED, {"role": "assistant", "content": None, "refusal": "No."}),
           "not_only_text", "the assistant turn has refusal"),
    BadRow({"prompt": "a", "chosen": "b", "rejected": "c"}, "preference", PREFERENCE),
    BadRow({"input": {"messages": [ASKED]}, "preferred_output": [ANSWERED], "non_preferred_output": [ANSWERED]},
           "preference", PREFERENCE),
    BadRow(messages("a"), "bad_turns", "expected a list of turns, got list"),
    BadRow({"messages": "a"}, "bad_turns", "expected a list of turns, got str"),
    BadRow({"messages": {"role": "user"}}, "bad_turns", "expected a list of turns, got dict"),
    BadRow({"messages": None}, "bad_turns", "expected a list of turns, got NoneType"),
    BadRow({"conversations": ["a", "b"]}, "bad_turns", "expected a list of turns, got list"),
    BadRow(messages({"content": "a"}, ANSWERED), "unknown_role", "got None"),
    BadRow(messages({"role": ["user"], "content": "a"}, ANSWERED), "unknown_role", "got ['user']"),
    BadRow({"conversations": [{"from": "bot", "value": "a"}]}, "unknown_role", "got 'bot'"),
    BadRow(messages(ASKED), "no_answer", "the last turn is by 'user', not by the assistant"),
    BadRow(messages(ASKED, ANSWERED, ASKED), "no_answer", "the last turn is by 'user', not by the assistant"),
    BadRow(messages(), "no_answer", "the last turn is by '', not by the assistant"),
    BadRow(messages(ANSWERED), "no_question", "no user turn before the answer"),
    BadRow(messages(SYSTEM, ANSWERED), "no_question", "no user turn before the answer"),
    BadRow(messages(ASKED, ASKED, ANSWERED), "role_order", "turn 2 is by 'user'; expected 'assistant'"),
    BadRow(messages(ASKED, ANSWERED, ANSWERED), "role_order", "turn 3 is by 'assistant'; expected 'user'"),
    BadRow(messages(ANSWERED, ASKED, ANSWERED), "role_order", "turn 1 is by 'assistant'; expected 'user'"),
    BadRow(messages(ASKED, SYSTEM, ANSWERED), "role_order", "turn 2 is by 'system'; expected 'assistant'"),
    BadRow(messages(SYSTEM, ASKED, ANSWERED, system="Be kind."), "role_order",
           "turn 2 is by 'system'; expected 'user'"),
    BadRow(b'{"prompt": "half \\ud83d", "completion": "b"}', "not_unicode", "the user turn has half a character"),
    BadRow(b'{"prompt": "a", "completion": "half \\ud83d"}', "not_unicode", "the assistant turn has half a character"),
    BadRow(b'{"half \\ud83d": "a"}', "no_known_shape", "fields: half \\ud83d"),
]  # fmt: skip


def test_the_table_is_long() -> None:
    """The kinds are those that people have met, and each stands here once."""
    assert len(FILES) + len(ROWS) > 80
    assert len({bad.kind for bad in FILES}) == len(FILES)
    assert len({bad.raw for bad in ROWS}) == len(ROWS)


@pytest.mark.parametrize("bad", ROWS, ids=lambda bad: f"{bad.reason}: {bad.detail[:40]}")
def test_a_bad_row_is_set_aside_with_its_reason(tmp_path: Path, bad: BadRow) -> None:
    """It comes out with file, line, reason, what stood there, and its very bytes; the row below it is kept."""
    (tmp_path / "a.jsonl").write_bytes(bad.raw + b"\n" + json.dumps(GOOD).encode())
    run(ingest(tmp_path, asked()), tmp_path / "data")
    out = tmp_path / "data" / "ingest"
    assert read_quarantine(out / "quarantine.parquet") == [Quarantined("a.jsonl", 1, bad.reason, bad.detail, bad.raw)]
    assert [pair.row for pair in read_pairs(out / "pairs.parquet")] == [2]


def test_of_all_bad_rows_together_none_is_lost(tmp_path: Path) -> None:
    """In one file each comes out once, with its own line, and the report counts them all."""
    lines = [raw for bad in ROWS for raw in (bad.raw, json.dumps(GOOD).encode())]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    run(ingest(tmp_path, asked()), tmp_path / "data")
    out = tmp_path / "data" / "ingest"
    pairs, aside = read_pairs(out / "pairs.parquet"), read_quarantine(out / "quarantine.parquet")
    assert [row.reason for row in aside] == [bad.reason for bad in ROWS]
    assert {row.row: row.raw for row in [*pairs, *aside]} == dict(enumerate(lines, start=1))
    (file,) = read_json(out / "report.json")["files"]
    assert (file["rows"], file["kept"], file["quarantined"]) == (len(lines), len(ROWS), len(ROWS))
