"""Every kind of bad input, with the very line or reason that it gives; whatever is wrong with a row, no row is lost."""

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.files import read_json  # fmt: skip
from pipeline.holdout.scored_prompts import add_scored_prompts
from pipeline.ingest.stage import run
from pipeline.pairs import (  # fmt: skip
    SPLITS,
    Pair,
    Quarantined,
    read_pairs,
    read_quarantine,
    write_pairs,
    write_quarantine,
)
from pipeline.params import Prompt, Validate
from pipeline.validate import stage as validate
from tests.support.checked_pairs import LIMITS, LONG, changed, pair, questions
from tests.support.sources import asked, ingest

GOOD = {"prompt": "good", "completion": "row"}
ASKED, ANSWERED = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
SYSTEM = {"role": "system", "content": "Be brief."}
TOLD = "; if the whole file has another encoding, name it in ingest.sources"
ENCODING = "name its encoding in ingest.sources (latin-1, cp1252, utf-16, ...), or save it as UTF-8"
LOOKS = (
    "it looks like cp1252 or cp1250 or cp1251: name its encoding in ingest.sources, or convert it by "
    "`iconv -f cp1252 -t utf-8 FILE`"
)
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
            "may be anything: its suffix '.txt' is unknown, and it begins neither as JSON nor as a table; " + ANYTHING),
    BadFile("one object over many lines", "a.txt", b'{\n"prompt": "a"\n}\n',
            "may be anything: its suffix '.txt' is unknown, and it begins neither as JSON nor as a table; " + ANYTHING),
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
            f"line 3 is not UTF-8: invalid start byte (byte fc); {LOOKS}"),
    BadFile("a list in Latin-1", "a.json", '[\n{"prompt": "ü"}]'.encode("latin-1"),
            f"line 2 is not UTF-8: invalid start byte (byte fc); {LOOKS}"),
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
    with pytest.raises(UserError) as caught:
        run(ingest(tmp_path, asked(path=bad.name, **dict(bad.asked))), tmp_path / "data")
    path = str(tmp_path / bad.name)
    assert str(caught.value) == f"{path}: {bad.line.replace('FILE', path)}"
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


@dataclass(frozen=True)
class BadPair:
    """A pair that is set aside among good ones: what it says, the reason, and what else is asked or stands there."""

    kind: str
    prompt: str
    reason: str
    completion: str = "yes"
    beside: tuple[Pair, ...] = ()
    split: str | None = "train"
    actions: tuple[tuple[str, str], ...] = ()
    asked: tuple[tuple[str, Any], ...] = ()


KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"
PERSONAL = (("pii", "quarantine"),)
TESTED = (pair(LONG, split="test"),)
PAIRS = [
    BadPair("nothing asked", "", "empty_prompt"),
    BadPair("blanks asked", " \n\t\u00a0", "empty_prompt"),
    BadPair("only zero-width characters asked", "\u200b\u200d\ufeff", "empty_prompt"),
    BadPair("nothing answered", "is it open", "empty_completion", ""),
    BadPair("blanks answered", "is it open", "empty_completion", " \n"),
    BadPair("a prompt too long", "p" * 1001, "prompt_too_long"),
    BadPair("a completion too long", "is it open", "completion_too_long", "c" * 51),
    BadPair("a bell", "is it \x07 open", "control_characters"),
    BadPair("a zero", "is it open", "control_characters", "y\0es"),
    BadPair("terminal colours", "\x1b[31mis it open\x1b[0m", "control_characters"),
    BadPair("what a wrong decoding leaves", "caf\ufffd open?", "control_characters"),
    BadPair("UTF-8 read as Latin-1", "is the cafÃ© open", "mojibake"),
    BadPair("UTF-8 read as cp1252", "they said â€œopenâ€\u009d", "control_characters"),
    BadPair("ChatML within a prompt", "ok<|im_end|>\n<|im_start|>assistant\nyes", "markup"),
    BadPair("the end of a turn within an answer", "is it open", "markup", "yes<|eot_id|>"),
    BadPair("Llama 2's instruction", "[INST] say yes [/INST]", "markup"),
    BadPair("Gemma's turns", "hello<end_of_turn>", "markup"),
    BadPair("the end of a sequence", "hello</s>", "markup"),
    BadPair("a private key", KEY, "secret"),
    BadPair("a cloud key", "my key is AKIAIOSFODNN7EXAMPLE", "secret"),
    BadPair("a token of a code host", "use ghp_" + "a1B2" * 9, "secret"),
    BadPair("a web token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.abc-DEF_123", "secret"),
    BadPair("an e-mail address", "write to ann.lee@mail.example", "pii", actions=PERSONAL),
    BadPair("a telephone number", "call +44 20 7946 0958 please", "pii", actions=PERSONAL),
    BadPair("a card number", "it is 4111 1111 1111 1111", "pii", actions=PERSONAL),
    BadPair("a bank account", "pay to DE89 3704 0044 0532 0130 00", "pii", actions=PERSONAL),
    BadPair("another language", "Wo ist mein Paket, das ich letzte Woche bestellt habe?", "other_language",
            asked=(("languages", ("en",)),)),
    BadPair("an answer that stands in its prompt", "the label of this is refund", "answer_in_prompt", "refund",
            actions=(("answer_in_prompt", "quarantine"),)),
    BadPair("a label that was not declared", "is it open", "unknown_label", "perhaps",
            asked=(("labels", ("yes", "no")),)),
    BadPair("the same pair again", "question 4", "duplicate"),
    BadPair("the prompt of a test row", LONG, "also_in_test", "no", beside=TESTED),
    BadPair("the prompt of a test row, spelt otherwise", f"{LONG.upper()}!", "also_in_test", beside=TESTED),
    BadPair("the prompt of a validation row", LONG, "also_in_validation", "no",
            beside=(pair(LONG, split="validation"),)),
    BadPair("nearly a test row", f"{LONG} x", "near_test", beside=TESTED, actions=(("near_test", "quarantine"),)),
    BadPair("nearly a validation row", f"{LONG} x", "near_test", beside=(pair(LONG, split="validation"),),
            actions=(("near_test", "quarantine"),)),
    BadPair("what was tested before", "what I asked last year", "scored_before"),
    BadPair("nearly what was tested before", "what I asked last years", "scored_before"),
    BadPair("nearly another row", f"{LONG} x", "near_duplicate", beside=(pair(LONG, split="train"),),
            actions=(("near_duplicate", "quarantine"),), asked=(("near_duplicate_similarity", 0.95),)),
    BadPair("another answer to the same", "Question 4?", "conflict", "no", actions=(("conflict", "quarantine"),)),
    BadPair("another answer to nearly the same", f"{LONG} x", "near_conflict", "no",
            beside=(pair(LONG, split="train"),), actions=(("near_conflict", "quarantine"),),
            asked=(("near_duplicate_similarity", 0.95),)),
]  # fmt: skip


def validated(data: Path, pairs: Sequence[Pair], rules: Validate, *, task: Literal["labels", "text"]) -> Path:
    """Check pairs as they come from ingest, and give the folder of what is left."""
    (data / "ingest").mkdir(parents=True)
    write_pairs(data / "ingest" / "pairs.parquet", pairs)
    write_quarantine(data / "ingest" / "quarantine.parquet", [])
    (data / "scored_prompts").mkdir()
    add_scored_prompts(data / "scored_prompts", ["what I asked last year"])
    validate.run(Prompt(task=task, system=""), rules, data)
    return data / "validate"


@pytest.mark.parametrize("bad", PAIRS, ids=lambda bad: bad.kind)
def test_a_bad_pair_is_set_aside_with_its_reason(tmp_path: Path, bad: BadPair) -> None:
    """It comes out by its first fault with file, row and bytes; no good pair goes with it, and none is lost."""
    actions = dict.fromkeys(("label_spelling", "rare_label", "dominant_label", "drift"), "off") | dict(bad.actions)
    limits = {"near_duplicate_similarity": 0.8, "max_quarantined_share": 0.5, **dict(bad.asked)}
    rules = changed(checks=LIMITS.checks.model_copy(update=actions), **limits)
    good = [*questions(40, split="train"), pair("the one that is tested", split="test"), *bad.beside]
    row = pair(bad.prompt, bad.completion, split=bad.split, row=99)
    out = validated(tmp_path, [*good, row], rules, task="labels" if bad.reason == "unknown_label" else "text")
    aside = [(found.row, found.reason, found.raw) for found in read_quarantine(out / "quarantine.parquet")]
    assert (99, bad.reason, row.raw) in aside
    kept = [found for split in SPLITS for found in read_pairs(out / f"{split}.parquet")]
    assert len(kept) + len(aside) == len(good) + 1
    assert len(aside) == 1 + (bad.reason in ("conflict", "near_conflict"))


@dataclass(frozen=True)
class Stop:
    """Pairs with which the run must not go on: what else is asked of them, and the line that says why."""

    kind: str
    pairs: Sequence[Pair]
    line: str
    actions: tuple[tuple[str, str], ...] = ()
    asked: tuple[tuple[str, Any], ...] = ()
    task: Literal["labels", "text"] = "labels"


TRAIN, TEST = questions(40, split="train"), questions(4, split="test", start=900)
GOOD_SET = [*TRAIN, *TEST]
STOPS = [
    Stop("a label spelt in two ways", [*GOOD_SET, pair("is it open", "Yes", split="train", row=7)],
         "validate.checks.label_spelling: 1 rows break it; expected a label is always spelt the same, in "
         "case and whitespace too; got train.jsonl row 7; also rare_label: 1 rows; "
         "spell it as most rows do, or set it to warn",
         actions=(("rare_label", "error"),)),
    Stop("a label with few rows", [*GOOD_SET, pair("is it open", "maybe", split="train", row=7)],
         "validate.checks.rare_label: 1 rows break it; expected each label has at least 5 training rows; got "
         "train.jsonl row 7; add rows with this label, or merge it with another, or set it to warn",
         actions=(("rare_label", "error"),)),
    Stop("a label with nearly all rows", [*questions(40, split="train"), *TEST],
         "validate.checks.dominant_label: 44 rows break it; expected no label has more than 40.0% of the training rows"
         f"; got {', '.join(f'train.jsonl row {n}' for n in range(10))} and others; add rows with other labels, or set "
         "it to warn",
         actions=(("dominant_label", "error"),), asked=(("max_label_share", 0.4),)),
    Stop("two answers to one prompt", [*GOOD_SET, pair("question 4", "no", split="train", row=77)],
         "validate.checks.conflict: 2 rows break it; expected one prompt has one completion; got train.jsonl row 4, "
         "train.jsonl row 77; decide which completion is right, or set it to warn",
         actions=(("conflict", "error"),)),
    Stop("a training row that is nearly tested", [*GOOD_SET, *TESTED, pair(f"{LONG} x", split="train", row=77)],
         "validate.checks.near_test: 1 rows break it; expected no training row is a near-duplicate of a given "
         "held-out set (similarity 0.8); got train.jsonl row 77; take it out of one of them: it makes the test easier "
         "than the world, or set it to warn",
         actions=(("near_test", "error"),)),
    Stop("a test label that training lacks", [*GOOD_SET, pair("is it open", "never", split="test")],
         "the test split: labels that no training row has: 'never' (1 rows); add training rows for them, or set "
         "prompt.task: text"),
    Stop("too many bad rows", [*GOOD_SET, *(pair("", row=n, split="train") for n in range(50, 56))],
         "validate.max_quarantined_share: 6 of 50 rows are bad: 6 empty_prompt; expected at most 5 (0.1 of them); got "
         "train.jsonl row 50, train.jsonl row 51, train.jsonl row 52, train.jsonl row 53, train.jsonl row 54, "
         "train.jsonl row 55; look at them with `tunesmith check-data`, mend them, or raise the limit"),
    Stop("prompts that are nearly all the same", [pair(f"{LONG} {n}", row=n) for n in range(60)],
         "validate.near_duplicate_similarity: 47 of 60 rows are nearly the same as a held-out one; expected at most "
         "20%; raise it; or, if the prompts share an instruction, move that into prompt.system; or set "
         "validate.checks.near_heldout to warn"),
    Stop("nothing to train on", TEST,
         "4 good rows: the train split is empty; no source gives training rows: add one, or set the split of one to "
         "null"),
    Stop("nothing to test on", [pair("prompt 4")],
         "1 good rows: the test split is empty; add rows, or raise validate.test_share"),
    Stop("a test source without a good row", [*TRAIN, pair("", split="test")],
         "40 good rows: the test split is empty; look why none of the rows of the test source is good"),
    Stop("a language that is none", GOOD_SET, "params.yaml: validate.languages: no such language; expected ace, ",
         asked=(("languages", ("en", "qq")),)),
]  # fmt: skip


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.kind)
def test_data_with_which_a_run_must_not_go_on_stop_it_with_their_line(tmp_path: Path, stop: Stop) -> None:
    """Nothing is left that a later stage could take for good data; as any stage that stops, it exits with 1."""
    actions = dict.fromkeys(("rare_label", "dominant_label", "drift"), "off") | dict(stop.actions)
    rules = changed(near_duplicate_similarity=0.8, checks=LIMITS.checks.model_copy(update=actions), **dict(stop.asked))
    with pytest.raises(UserError) as caught:
        validated(tmp_path, stop.pairs, rules, task=stop.task)
    assert str(caught.value)[: len(stop.line)] == stop.line
    assert not list((tmp_path / "validate").glob("*.parquet"))
