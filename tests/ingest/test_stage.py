import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.files import count_values, read_json
from pipeline.ingest.readers import SourceRecord
from pipeline.ingest.stage import read_file, record_to_pair, run, sample_per_label, source_files
from pipeline.pairs import Message, Pair, Quarantined, read_pairs, read_quarantine
from pipeline.params import Source
from tests.support.sources import asked, ingest

USER, SYSTEM = Message("user", "Why?"), Message("system", "Be brief.")
ASKED, ANSWERED = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
LINES = "JSON lines, since its suffix is .jsonl"
DIALOGUE = (SYSTEM, USER, Message("assistant", "So."), Message("user", "And?"))


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write rows as JSON lines; bytes as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))


def read(folder: Path, *sources: Source, seed: int = 1) -> tuple[list[Pair], list[Quarantined], list[dict[str, Any]]]:
    """Run with these sources: the pairs, the rows set aside, and the account of each file."""
    run(ingest(folder, *sources, seed=seed), folder / "data")
    out = folder / "data" / "ingest"
    files = read_json(out / "report.json")["files"]
    return read_pairs(out / "pairs.parquet"), read_quarantine(out / "quarantine.parquet"), files


def sample(pairs: list[Pair], per_label: int, seed: int) -> list[Pair]:
    """The pairs that a sample takes, in their order."""
    chosen = sample_per_label(pairs, per_label, seed)
    return [pair for pair in pairs if (pair.source, pair.row) in chosen]


def colours(number: int, label: str, *, start: int = 0) -> list[dict[str, str]]:
    """Different prompts with one completion."""
    return [{"prompt": f"{label} thing {n}", "completion": label} for n in range(start, start + number)]


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """Run with these sources, which must fail; the error's text, with FOLDER for the folder."""

    def refused(*sources: Source) -> str:
        with pytest.raises(UserError) as caught:
            run(ingest(tmp_path, *sources), tmp_path / "data")
        assert not (tmp_path / "data" / "ingest").exists()
        return str(caught.value).replace(str(tmp_path), "FOLDER")

    return refused


@pytest.mark.parametrize(
    ("row", "messages", "completion"),
    [
        ({"prompt": "Why?", "completion": "So."}, (USER,), "So."),
        ({"prompt": "Why?", "completion": "So.", "id": 7, "lang": "en"}, (USER,), "So."),
        ({"prompt": " Why? ", "completion": "\nSo."}, (Message("user", " Why? "),), "\nSo."),
        ({"messages": [ASKED, ANSWERED]}, (USER,), "So."),
        ({"messages": [{"role": "system", "content": "Be brief."}, ASKED, ANSWERED]}, (SYSTEM, USER), "So."),
        ({"messages": [{"role": "system", "content": "Be brief."}, ASKED, ANSWERED, {"role": "user", "content": "And?"},
                       {"role": "assistant", "content": "No more."}]}, DIALOGUE, "No more."),
        ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]}, (USER,), "So."),
        ({"conversations": [{"from": "user", "value": "Why?"}, {"from": "assistant", "value": "So."}]}, (USER,), "So."),
        ({"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Why?"},
                            {"from": "gpt", "value": "So."}]}, (SYSTEM, USER), "So."),
        ({"instruction": "Why?", "output": "So."}, (USER,), "So."),
        ({"instruction": "Why?", "input": "", "output": "So."}, (USER,), "So."),
        ({"instruction": "Why?", "input": None, "output": "So."}, (USER,), "So."),
        ({"instruction": "Why?", "output": "So.", "system": "Be brief.", "history": []}, (SYSTEM, USER), "So."),
        ({"prompt": "Why?", "completion": "So.", "system": "Be brief."}, (SYSTEM, USER), "So."),
        ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}],
          "system": "Be brief."}, (SYSTEM, USER), "So."),
        ({"messages": [{"role": "developer", "content": "Be brief."}, ASKED, ANSWERED]}, (SYSTEM, USER), "So."),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]},
                       ANSWERED]}, (USER,), "So."),
        ({"messages": [ASKED, {**ANSWERED, "weight": 1}], "tools": [], "functions": None}, (USER,), "So."),
        ({"messages": [{"role": "system", "content": "Be brief."}, ASKED, {**ANSWERED, "weight": 0},
                       {"role": "user", "content": "And?"}, {"role": "assistant", "content": "No more.", "weight": 1}]},
         (SYSTEM, USER, Message("assistant", "So.", learn=False), Message("user", "And?")), "No more."),
        ({"instruction": "Add.", "input": "1 and 1", "output": "2"}, (Message("user", "Add.\n\n1 and 1"),), "2"),
    ],
)  # fmt: skip
def test_every_known_shape_becomes_a_pair(row: dict[str, Any], messages: tuple[Message, ...], completion: str) -> None:
    """Prompt and completion, OpenAI, ShareGPT and Alpaca rows are read as they stand, not a blank changed."""
    raw = json.dumps(row).encode()
    pair = record_to_pair(SourceRecord(7, raw, row), asked(), "a.jsonl")
    assert pair == Pair(messages, completion, "a.jsonl", 7, None, raw)


def test_columns_named_in_params_go_before_every_shape() -> None:
    """Who names the columns gets these, even where the row has a shape that is known."""
    row = {"prompt": "no", "completion": "no", "messages": [], "text": "Why?", "label": "So."}
    pair = record_to_pair(SourceRecord(1, b"", row), asked(prompt_column="text", completion_column="label"), "a.csv")
    assert (pair.messages, pair.completion) == ((USER,), "So.")


@pytest.mark.parametrize("split", ["train", "validation", "test", None])
def test_a_pair_carries_the_side_that_its_source_names(split: str | None) -> None:
    """The side is on the pair, for validate to go by."""
    row = {"prompt": "a", "completion": "b"}
    assert record_to_pair(SourceRecord(1, b"", row), asked(split=split), "a.jsonl").split == split


def test_a_row_without_a_named_column_is_set_aside() -> None:
    """In JSON each row has its own fields, so one that lacks the column is a bad row and not a bad file."""
    source = asked(prompt_column="text", completion_column="label")
    rows = [SourceRecord(1, b"1", {"text": "a", "label": "b"}), SourceRecord(2, b"2", {"text": "a", "lable": "b"})]
    good, bad = read_file(source, "a.jsonl", rows)
    assert isinstance(good, Pair)
    assert bad == Quarantined("a.jsonl", 2, "no_such_column", "no 'label' among: lable, text", b"2")


def test_three_bad_lines_of_a_hundred_lose_nothing(tmp_path: Path) -> None:
    """Every line of the file comes out on one side or the other, once, with its number and its bytes."""
    lines = [json.dumps({"prompt": f"question {n}", "completion": "b"}).encode() for n in range(100)]
    lines[0], lines[41], lines[99] = b"{broken", b'{"prompt": "\xff"}', b'{"prompt": "no answer"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    run(ingest(tmp_path, asked()), tmp_path / "data")
    pairs = read_pairs(tmp_path / "data" / "ingest" / "pairs.parquet")
    set_aside = read_quarantine(tmp_path / "data" / "ingest" / "quarantine.parquet")
    assert [(row.row, row.reason) for row in set_aside] == [(1, "not_json"), (42, "not_utf8"), (100, "no_known_shape")]
    assert {row.row: row.raw for row in [*pairs, *set_aside]} == dict(enumerate(lines, start=1))
    assert len(pairs) == 97


def test_the_report_accounts_for_every_row(tmp_path: Path) -> None:
    """In each file the rows are those kept, those set aside and those not sampled, and reasons add up."""
    write_lines(tmp_path / "a.jsonl", [*colours(9, "red"), *colours(2, "blue"), b"bad", [], {}])
    write_lines(tmp_path / "b.jsonl", [*colours(4, "green"), {}])
    run(ingest(tmp_path, asked(per_label=3), asked(path="b.jsonl")), tmp_path / "data")
    assert read_json(tmp_path / "data" / "ingest" / "report.json") == {
        "files": [
            {"file": "a.jsonl", "found": LINES, "rows": 14, "kept": 5, "quarantined": 3, "not_sampled": 6},
            {"file": "b.jsonl", "found": LINES, "rows": 5, "kept": 4, "quarantined": 1, "not_sampled": 0},
        ],
        "reasons": {"no_known_shape": 2, "not_an_object": 1, "not_json": 1},
    }
    assert len(read_pairs(tmp_path / "data" / "ingest" / "pairs.parquet")) == 9


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Nothing of the day, the machine or chance gets into the three files."""
    write_lines(tmp_path / "a.jsonl", [*colours(30, "red"), *colours(30, "blue"), b"bad"])
    for name in ("one", "two"):
        run(ingest(tmp_path, asked(per_label=7)), tmp_path / name)
    for name in ("pairs.parquet", "quarantine.parquet", "report.json"):
        assert (tmp_path / "one/ingest" / name).read_bytes() == (tmp_path / "two/ingest" / name).read_bytes()


def test_several_sources_come_in_order_each_with_its_side(tmp_path: Path) -> None:
    """Pairs stand in the order of the sources, with the name of their file and the side that their source names."""
    write_lines(tmp_path / "z.jsonl", colours(2, "red"))
    (tmp_path / "a.csv").write_text("prompt,completion\nblue thing,blue\n", encoding="utf-8")
    write_lines(tmp_path / "m.jsonl", colours(1, "green"))
    sources = asked(path="z.jsonl", split="train"), asked(path="a.csv", split="test"), asked(path="m.jsonl")
    pairs, _, account = read(tmp_path, *sources)
    found = [(pair.source, pair.row, pair.split) for pair in pairs]
    assert found == [("z.jsonl", 1, "train"), ("z.jsonl", 2, "train"), ("a.csv", 2, "test"), ("m.jsonl", 1, None)]
    assert [file["file"] for file in account] == ["z.jsonl", "a.csv", "m.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("a.jsonl", ["a.jsonl"]),
        ("*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "b.jsonl", "sub/a.jsonl"]),
        ("[b-z].jsonl", ["b.jsonl"]),
        ("sub/*", ["sub/a.jsonl"]),
    ],
)
def test_a_pattern_finds_its_files_in_one_order(tmp_path: Path, pattern: str, files: list[str]) -> None:
    """A pattern matches as in a shell, and the order does not hang on the disk's."""
    for name in ("b.jsonl", "sub/a.jsonl", "a.jsonl", "other.csv"):
        write_lines(tmp_path / name, colours(1, "red"))
    assert source_files(asked(path=pattern), tmp_path) == [tmp_path / name for name in files]


@pytest.mark.parametrize(
    ("path", "files"),
    [("sub", ["sub/a.csv", "sub/below/b.JSON.GZ"]), (".", ["a.jsonl", "sub/a.csv", "sub/below/b.JSON.GZ"])],
)
def test_a_folder_is_all_files_of_rows_below_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, files: list[str]
) -> None:
    """In the order of their names; hidden ones are left out, and those that are no rows are named in the log."""
    caplog.set_level("INFO")
    for name in ("sub/below/b.JSON.GZ", "sub/a.csv", "sub/notes.md", "sub/.hidden/a.csv", "a.jsonl", ".gitignore"):
        write_lines(tmp_path / name, [])
    assert source_files(asked(path=path), tmp_path) == [tmp_path / name for name in files]
    assert caplog.messages[0].endswith(
        "not read, by their endings: " + ("notes.md" if path == "sub" else "sub/notes.md")
    )


def test_what_was_found_is_said_of_each_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line a file says what it was taken for and why, before its rows are counted."""
    caplog.set_level("INFO")
    write_lines(tmp_path / "a.jsonl", colours(1, "red"))
    (tmp_path / "b.txt").write_text("prompt;completion\na;b\n", encoding="utf-16")
    read(tmp_path, asked(), asked(path="b.txt"))
    assert caplog.messages == [
        "ingest: a.jsonl: JSON lines, since its suffix is .jsonl",
        "ingest: a.jsonl: 1 rows, 1 kept, 0 set aside",
        "ingest: b.txt: a table in utf-16-le with ';' between columns, since its first line has 2 columns",
        "ingest: b.txt: 1 rows, 1 kept, 0 set aside",
    ]


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    """A row says which of the files it came from, so that it can be found again."""
    for folder in ("east", "west"):
        write_lines(tmp_path / folder / "a.jsonl", [*colours(1, folder), b"bad"])
    pairs, set_aside, account = read(tmp_path, asked(path="**/*.jsonl"))
    names = ["east/a.jsonl", "west/a.jsonl"]
    assert [pair.source for pair in pairs] == [row.source for row in set_aside] == names
    assert [file["file"] for file in account] == names


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("none.jsonl", "no such file; expected a file in FOLDER; check the name, or `dvc pull` the data"),
        ("*.csv", "no such file; expected a file in FOLDER; check the name, or `dvc pull` the data"),
        ("../a.jsonl", "leaves ingest.folder; expected a path below FOLDER; copy the file there"),
        ("sub/../../a.jsonl", "leaves ingest.folder; expected a path below FOLDER; copy the file there"),
        ("sub/../a.jsonl", "leaves ingest.folder; expected a path below FOLDER; copy the file there"),
        ("/a.jsonl", "leaves ingest.folder; expected a path below FOLDER; copy the file there"),
    ],
)
def test_a_path_that_finds_nothing_or_leaves_the_folder_is_refused(
    tmp_path: Path, refusal: Callable[..., str], path: str, line: str
) -> None:
    """DVC watches the folder only, so nothing outside it is read; and a source without a file is an error."""
    write_lines(tmp_path / "sub" / "a.jsonl", colours(1, "red"))
    assert refusal(asked(path=path)) == f"params.yaml: ingest.sources: {path}: {line}"


@pytest.mark.parametrize("path", ["", "**.jsonl", "sub/**.jsonl"])
def test_a_path_that_is_no_pattern_is_refused_in_one_line(refusal: Callable[..., str], path: str) -> None:
    """What the file system's patterns do not allow is an error of params, without a traceback."""
    assert refusal(asked(path=path)).startswith(f"params.yaml: ingest.sources: {path}: ".replace("  ", " "))


def test_one_missing_source_stops_all(tmp_path: Path, refusal: Callable[..., str]) -> None:
    """A run never goes on with the sources that happen to be there."""
    write_lines(tmp_path / "a.jsonl", colours(1, "red"))
    assert refusal(asked(), asked(path="b.jsonl")).startswith("params.yaml: ingest.sources: b.jsonl: no such file;")


def test_an_unreadable_file_stops_the_run_and_writes_nothing(tmp_path: Path, refusal: Callable[..., str]) -> None:
    """The error of the file comes through as it is."""
    (tmp_path / "a.jsonl").touch()
    assert refusal(asked()) == "FOLDER/a.jsonl: is empty; put pairs into it, or take it out of ingest.sources"


def test_sources_without_one_pair_say_why_and_show_the_first_row(tmp_path: Path, refusal: Callable[..., str]) -> None:
    """When nothing can be read, the error counts the reasons and shows one row, so that the shape can be named."""
    write_lines(tmp_path / "a.jsonl", [{"text": "a", "label": "b"}, [], {"text": "c"}])
    assert refusal(asked()) == (
        "FOLDER/a.jsonl: not one row is a pair; got 2 no_known_shape, 1 not_an_object; first: a.jsonl row 1: "
        "fields: label, text; write them as prompt and completion, messages, conversations, or instruction and "
        "output, or name the columns in ingest.sources"
    )


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b"prompt,completion\n"), ("a.json", b"[]"), ("a.jsonl", b"\n \n")]
)
def test_sources_without_one_row_say_so(tmp_path: Path, refusal: Callable[..., str], name: str, content: bytes) -> None:
    """A header, an empty list or blank lines hold no rows, and the error says just that."""
    (tmp_path / name).write_bytes(content)
    assert refusal(asked(path=name)) == (
        f"FOLDER/{name}: not one row is a pair; got no rows at all; "
        "write them as prompt and completion, messages, conversations, or instruction and output, or name the "
        "columns in ingest.sources"
    )


def ids(pairs: Iterable[Pair]) -> set[str]:
    return {pair.id for pair in pairs}


def test_a_sample_takes_as_many_rows_of_each_label_as_there_are_up_to_the_number(pairs: list[Pair]) -> None:
    """A label with fewer rows keeps them all, and those chosen stay in the file's order."""
    rare = replace(pairs[0], completion="grey", row=99)
    chosen = sample([*pairs, rare], 7, seed=1)
    assert count_values(pair.completion for pair in chosen) == {"blue": 7, "green": 7, "red": 7, "grey": 1}
    assert chosen == [pair for pair in [*pairs, rare] if pair in chosen]
    assert sample(pairs, 1000, seed=1) == pairs


def test_a_sample_hangs_on_its_seed_alone(pairs: list[Pair]) -> None:
    """One seed chooses the same rows in whatever order they stand, and another seed chooses others."""
    chosen = sample(pairs, 7, seed=1)
    turned = [replace(pair, row=row) for row, pair in enumerate(pairs[::-1], start=1)]
    assert ids(sample(turned, 7, seed=1)) == ids(chosen)
    assert ids(sample(pairs, 7, seed=2)) != ids(chosen)


def test_a_larger_sample_holds_the_smaller_one(pairs: list[Pair]) -> None:
    """Asking for more rows adds rows and takes none away."""
    assert ids(sample(pairs, 3, seed=1)) < ids(sample(pairs, 9, seed=1))


def test_new_rows_push_out_no_more_rows_than_they_bring(pairs: list[Pair]) -> None:
    """A sample is stable: rows of another label change nothing, and a new row takes the place of one at most."""
    new = replace(pairs[0], messages=(Message("user", "what colour is the sea?"),), row=99)
    before = ids(sample(pairs, 7, seed=1))
    other = ids(sample([*pairs, replace(new, completion="grey")], 7, seed=1))
    same = ids(sample([*pairs, new], 7, seed=1))
    assert before < other
    assert len(before - same) <= 1


def test_equal_rows_are_sampled_by_their_place(pairs: list[Pair]) -> None:
    """Copies of one pair do not slip through the number asked for."""
    copies = [replace(pairs[0], row=row) for row in (5, 3, 9)]
    assert [pair.row for pair in sample(copies, 2, seed=1)] == [5, 3]


def test_a_sample_counts_over_all_files_of_its_source(tmp_path: Path) -> None:
    """A source of several files gives the number of rows that it names, not that number from each file."""
    write_lines(tmp_path / "part1.jsonl", [*colours(9, "red"), *colours(9, "blue")])
    write_lines(tmp_path / "part2.jsonl", [*colours(9, "red", start=9), b"bad"])
    pairs, set_aside, account = read(tmp_path, asked(path="part*.jsonl", per_label=4))
    assert count_values(pair.completion for pair in pairs) == {"blue": 4, "red": 4}
    assert [file["rows"] for file in account] == [18, 10]
    assert all(file["rows"] == file["kept"] + file["quarantined"] + file["not_sampled"] for file in account)
    assert (sum(file["kept"] for file in account), len(set_aside)) == (8, 1)


def test_a_sample_goes_by_the_seed_of_its_section(tmp_path: Path) -> None:
    """The seed that chooses is ingest.seed."""
    write_lines(tmp_path / "a.jsonl", colours(40, "red"))
    chosen = [ids(read(tmp_path, asked(per_label=5), seed=seed)[0]) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]
