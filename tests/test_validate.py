import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.pairs import (
    SPLITS,
    Message,
    Pair,
    Quarantined,
    read_json,
    read_pairs,
    read_quarantine,
    write_pairs,
    write_quarantine,
)  # fmt: skip
from pipeline.params import Params, Prompt, Validate
from pipeline.problem import Problem
from pipeline.validate import check, control_chars, finding, labels_of, run, set_aside, side, split, too_many

LIMITS = Validate(
    max_prompt_chars=1000, max_completion_chars=50, max_quarantined=0.1,
    validation_share=0.1, test_share=0.25, salt="tunesmith",
)  # fmt: skip
LABELS = Prompt(task="labels", system="")
SENTENCES = {
    "empty_prompt": "the prompt says something",
    "empty_completion": "the completion says something",
    "prompt_too_long": "the prompt has at most 1,000 characters",
    "completion_too_long": "the completion has at most 50 characters",
    "control_characters": "no control or replacement characters",
    "duplicate": "no second copy of the same pair",
}


def pair(prompt: str, completion: str = "yes", *, split: str | None = None, row: int = 1) -> Pair:
    """A pair of one question."""
    return Pair((Message("user", prompt),), completion, f"{split or 'all'}.jsonl", row, split, prompt.encode())


def questions(number: int, *, split: str | None = None, start: int = 0) -> list[Pair]:
    """Different prompts with two labels."""
    return [pair(f"question {n}", "no" if n % 2 else "yes", split=split, row=n) for n in range(start, start + number)]


def changed(**values: Any) -> Validate:
    return LIMITS.model_copy(update=values)


def sorted_out(pairs: Sequence[Pair], validate: Validate = LIMITS) -> tuple[dict[str, str], list[Quarantined]]:
    """Check, set aside and split: the side of each raw row that is kept, and the rows that are not."""
    good, bad = set_aside(pairs, check(pairs, validate))
    sides = split(good, validate)
    return {pair.raw.decode(): name for name, rows in sides.items() for pair in rows}, bad


def sides_of(pairs: Sequence[Pair], validate: Validate = LIMITS) -> dict[str, str]:
    """The side of each pair, by its id."""
    return {pair.id: name for name, rows in split(pairs, validate).items() for pair in rows}


@pytest.fixture
def ingested(tmp_path: Path) -> Callable[..., Path]:
    """Write what ingest would have left, and give the data folder."""

    def write(pairs: Sequence[Pair], unread: Sequence[Quarantined] = ()) -> Path:
        (tmp_path / "ingest").mkdir()
        write_pairs(tmp_path / "ingest" / "pairs.parquet", pairs)
        write_quarantine(tmp_path / "ingest" / "quarantine.parquet", unread)
        return tmp_path

    return write


ROWS: list[tuple[str, str, str | None]] = [
    ("a question", "an answer", None),
    ("", "an answer", "empty_prompt"),
    (" \n\t\u00a0", "an answer", "empty_prompt"),
    ("one", "", "empty_completion"),
    ("two", " \n", "empty_completion"),
    ("p" * 1000, "an answer", None),
    ("p" * 1001, "an answer", "prompt_too_long"),
    (f"  {'q' * 1000}\n", "an answer", None),
    ("three", "c" * 50, None),
    ("four", "c" * 51, "completion_too_long"),
    ("five \x07", "an answer", "control_characters"),
    ("six", "an \ufffd answer", "control_characters"),
    ("seven\n\r\tlines", "naïve 🚂 \u2028", None),
    ("eight", "an answer", None),
    ("eight", "an answer", "duplicate"),
    ("eight", "another answer", None),
    ("EIGHT", "an answer", None),
    ("", "", "empty_prompt"),
    ("\x07p" * 501, "", "empty_completion"),
    ("\x07" + "p" * 1001, "an answer", "prompt_too_long"),
    ("\x07nine", "c" * 51, "completion_too_long"),
    ("", "an answer", "empty_prompt"),
    ("five \x07", "an answer", "control_characters"),
]
"""Prompt, completion, and the first expectation that the row breaks."""


@pytest.fixture(scope="module")
def checked() -> tuple[list[Pair], dict[int, Quarantined], dict[str, int]]:
    """All of ROWS held against the suite at once: the pairs, those set aside by row, and how many broke what."""
    pairs = [pair(prompt, completion, row=number) for number, (prompt, completion, _) in enumerate(ROWS)]
    findings = check(pairs, LIMITS)
    good, bad = set_aside(pairs, findings)
    assert len(good) + len(bad) == len(pairs)
    return good, {row.row: row for row in bad}, {found.reason: len(found.places) for found in findings}


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda number: f"{number}-{ROWS[number][2] or 'good'}")
def test_a_row_goes_by_the_first_expectation_that_it_breaks(checked: Any, number: int) -> None:
    """Each row is kept, or set aside with the reason, the sentence, its place and its bytes."""
    good, bad, _ = checked
    prompt, _, reason = ROWS[number]
    if reason is None:
        assert number in {pair.row for pair in good}
    else:
        assert bad[number] == Quarantined("all.jsonl", number, reason, f"not so: {SENTENCES[reason]}", prompt.encode())


def test_each_expectation_counts_every_row_that_breaks_it(checked: Any) -> None:
    """The report's numbers are those of all rows that break an expectation, also of rows set aside for another."""
    _, _, broken = checked
    assert broken == {
        "empty_prompt": 4,
        "empty_completion": 4,
        "prompt_too_long": 3,
        "completion_too_long": 2,
        "control_characters": 6,
        "duplicate": 3,
        "also_in_test": 0,
        "also_in_validation": 0,
        "conflict": 8,
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("plain", 0),
        ("\n\r\t", 0),
        ("naïve 🚂 \u200b\u2028\u00a0", 0),
        ("\x00", 1),
        ("\x1b[31mred", 1),
        ("\x7f", 1),
        ("caf\ufffd\ufffd", 2),
        ("\x0b\x0c", 2),
    ],
)
def test_control_characters_are_those_that_belong_in_no_message(text: str, number: int) -> None:
    """Line ends, tabs and every letter pass; terminal codes, zeros and marks of a wrong decoding count."""
    assert control_chars(text) == number


def test_an_expectation_that_fails_to_run_is_never_taken_for_bad_data() -> None:
    """A result without the list of bad rows, as a misspelt column gives it, stops the run."""
    result = SimpleNamespace(result={}, exception_info="no such column")
    with pytest.raises(RuntimeError, match="the expectation 'duplicate' could not be computed: no such column"):
        finding("duplicate", "no second copy", result)


@pytest.mark.parametrize("pairs", [questions(40), questions(40, split="train") + questions(9, split="test", start=50)])
def test_clean_rows_are_all_kept(pairs: list[Pair]) -> None:
    """Nothing is set aside for no reason, and the pairs keep their order."""
    assert set_aside(pairs, check(pairs, LIMITS)) == (pairs, [])


def test_one_prompt_with_two_completions_is_reported_and_kept() -> None:
    """A conflict may be right, so it warns: both rows stay, on one side."""
    pairs = [*questions(40), pair("Question 3", "yes"), pair("question  3", "maybe")]
    found = {item.reason: item for item in check(pairs, LIMITS)}["conflict"]
    assert (found.sets_aside, found.places) == (False, (3, 40, 41))
    kept, bad = sorted_out(pairs)
    assert bad == []
    assert len({kept[prompt] for prompt in ("question 3", "Question 3", "question  3")}) == 1


def test_adding_rows_never_moves_an_old_one() -> None:
    """Rows that are split keep their side whatever rows come, before, after or between them."""
    old, new = questions(300), questions(900, start=300)
    before = sides_of(old)
    mixed = random.Random(3).sample([*old, *new], 1200)
    after = sides_of(mixed)
    assert set(before.values()) == set(SPLITS)
    assert {key: after[key] for key in before} == before


def test_taking_rows_away_never_moves_another_one() -> None:
    """A row's side hangs on no other row."""
    all_sides = sides_of(questions(300))
    assert sides_of(questions(100, start=100)).items() <= all_sides.items()


def test_rows_of_one_prompt_are_on_one_side() -> None:
    """Case, blanks and completion do not part rows that ask the same."""
    pairs = [pair(form.format(n), answer) for n in range(200) for form in ("ask {}", " ASK  {}\n") for answer in "ab"]
    sides = split(pairs, LIMITS)
    groups = [{pair.group for pair in sides[name]} for name in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 200
    assert sum(map(len, sides.values())) == 800


@pytest.mark.parametrize(
    ("prompt", "drawn", "with_test_given"),
    [("prompt 0", "test", "train"), ("prompt 1", "test", "validation"), ("prompt 2", "validation", "train"),
     ("prompt 4", "train", "train"), ("PROMPT  4", "train", "train")],
)  # fmt: skip
def test_the_side_of_a_prompt_never_changes(prompt: str, drawn: str, with_test_given: str) -> None:
    """The law itself is pinned: another hash would move rows of released models between training and test."""
    assert side(pair(prompt), LIMITS, test_given=False) == drawn
    assert side(pair(prompt), LIMITS, test_given=True) == with_test_given


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.25), (0.3, 0.3), (0.0, 0.5), (0.2, 0.05)])
def test_the_sides_have_their_shares(validation: float, test: float) -> None:
    """Of many prompts, the held-out shares come out within two points of what params ask."""
    sides = split(questions(5000), changed(validation_share=validation, test_share=test))
    assert len(sides["validation"]) / 5000 == pytest.approx(validation, abs=0.02)
    assert len(sides["test"]) / 5000 == pytest.approx(test, abs=0.02)


def test_a_larger_test_share_keeps_the_old_test_rows() -> None:
    """Raising the share adds rows to the test set and takes none out."""
    small, large = (split(questions(400), changed(test_share=share))["test"] for share in (0.2, 0.4))
    assert {pair.id for pair in small} < {pair.id for pair in large}


def test_another_salt_is_another_split() -> None:
    """The salt decides which rows fall where, and nothing else does."""
    assert sides_of(questions(300)) == sides_of(questions(300))
    assert sides_of(questions(300)) != sides_of(questions(300), changed(salt="other"))


def test_the_split_does_not_hang_on_the_order_of_the_rows() -> None:
    """Shuffled rows, copies and a given test file among them, give the same rows on the same sides."""
    rows = [*questions(60), *questions(5), *questions(20, split="test", start=50), pair("", "yes")]
    kept, bad = sorted_out(rows)
    again, bad_again = sorted_out(random.Random(5).sample(rows, len(rows)))
    assert again == kept
    assert sorted(row.reason for row in bad_again) == sorted(row.reason for row in bad)


def test_each_side_keeps_the_order_of_the_rows() -> None:
    """Within a side the rows stand as they came."""
    for rows in split(questions(300), LIMITS).values():
        assert [pair.row for pair in rows] == sorted(pair.row for pair in rows)


def test_a_source_that_names_its_side_stays_there() -> None:
    """A file given as training, validation or test set is all there."""
    given = [question for name, start in zip(SPLITS, (0, 40, 80), strict=True)
             for question in questions(40, split=name, start=start)]  # fmt: skip
    sides = split([*given, *questions(40, start=120)], LIMITS)
    for name in SPLITS:
        assert {pair.id for pair in given if pair.split == name} <= {pair.id for pair in sides[name]}


def test_a_given_test_file_is_the_whole_test_set() -> None:
    """Where a source says that it is the test set, no other row is drawn into it."""
    given = questions(10, split="test", start=300)
    sides = split([*questions(300), *given], LIMITS)
    assert sides["test"] == given
    assert len(sides["validation"]) / 300 == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize("split", ["train", "validation", None])
def test_a_row_whose_prompt_is_in_the_given_test_file_is_set_aside(split: str | None) -> None:
    """What the model is tested on it has not seen, in whatever case and blanks, and whatever its completion there."""
    seen = [pair("Question  301", "no", split=split), pair("question 302", "other", split=split)]
    given = questions(5, split="test", start=300)
    kept, bad = sorted_out([*questions(40, split="train"), *seen, *given])
    assert [(row.reason, row.raw) for row in bad] == [("also_in_test", row.raw) for row in seen]
    assert sorted(prompt for prompt, name in kept.items() if name == "test") == [
        f"question {n}" for n in range(300, 305)
    ]


def test_a_training_row_whose_prompt_is_in_the_given_validation_file_is_set_aside() -> None:
    """The best epoch is chosen on prompts that training has not seen."""
    given = [
        *questions(40, split="train"),
        *questions(5, split="validation", start=50),
        *questions(5, split="test", start=60),
    ]
    seen = pair("Question 51", "other", split="train")
    _, bad = sorted_out([*given, seen])
    assert [(row.reason, row.raw) for row in bad] == [("also_in_validation", seen.raw)]


@pytest.mark.parametrize(
    ("system", "prompt", "completion", "reason"),
    [
        ("Be brief.", " ", "yes", "empty_prompt"),
        ("Be brief.", "\u200b\ufeff", "yes", "empty_prompt"),
        ("", "why?", "\u00ad\u2060", "empty_completion"),
        ("", "why\u0085?", "yes", "control_characters"),
        ("", "🚂", "👍", None),
        ("", "?", "...", None),
    ],
)
def test_what_nobody_can_see_says_nothing(system: str, prompt: str, completion: str, reason: str | None) -> None:
    """A system message does not make up for an empty question, nor zero-width characters for a text."""
    messages = (*((Message("system", system),) if system else ()), Message("user", prompt))
    odd = Pair(messages, completion, "all.jsonl", 99, None, b"odd")
    _, bad = set_aside([*questions(10), odd], check([*questions(10), odd], LIMITS))
    assert [row.reason for row in bad] == ([reason] if reason else [])


@pytest.mark.parametrize("first", ["train", "test"])
def test_a_pair_in_both_files_stays_in_the_given_test_file(first: str) -> None:
    """The very same pair in a training file, before or after, never takes a row out of the given test file."""
    train, given = questions(40, split="train"), questions(5, split="test", start=38)
    pairs = [*train, *given] if first == "train" else [*given, *train]
    good, bad = set_aside(pairs, check(pairs, LIMITS))
    assert [pair for pair in good if pair.split == "test"] == given
    assert {row.raw for row in bad} == {b"question 38", b"question 39"}
    assert len(bad) == 2


def test_a_prompt_of_a_training_file_is_never_tested_on() -> None:
    """Where a row to be split has the prompt of a given training row, the two do not end up on two sides."""
    pairs = [*questions(100, split="train"), *(pair(f"Question {n}", "maybe") for n in range(50, 150))]
    good, bad = set_aside(pairs, check(pairs, LIMITS))
    sides = split(good, LIMITS)
    trained, tested = ({pair.group for pair in sides[name]} for name in ("train", "test"))
    assert tested
    assert not trained & tested
    assert len(good) + len(bad) == len(pairs)


@pytest.mark.parametrize(
    ("pairs", "values", "line"),
    [
        (questions(20), {"test_share": 0.0},
         "20 good rows: the test split is empty; add rows, or change validate.test_share"),
        ([pair("prompt 4"), pair("prompt 5")], {},
         "2 good rows: the test split is empty; add rows, or change validate.test_share"),
        (questions(3, split="test"), {},
         "3 good rows: the train split is empty; add rows, or change validate.validation_share"),
    ],
)  # fmt: skip
def test_an_empty_side_stops_the_run(pairs: list[Pair], values: dict[str, Any], line: str) -> None:
    """Without a row to train on or to test on there is nothing to do, and the error says what to change."""
    with pytest.raises(Problem) as caught:
        split(pairs, changed(**values))
    assert str(caught.value) == line


def test_an_empty_validation_side_is_allowed() -> None:
    """Who asks for no validation rows gets none."""
    assert split(questions(100), changed(validation_share=0.0))["validation"] == []


def test_the_labels_are_those_of_the_training_rows() -> None:
    """Labels come sorted and once, and a label that only validation rows have is none."""
    train = [pair("a", "red"), pair("b", "blue"), pair("c", "red")]
    sides = {"train": train, "validation": [pair("d", "green")], "test": [pair("e", "blue")]}
    assert labels_of(sides) == ["blue", "red"]


def test_a_test_label_that_training_lacks_stops_the_run() -> None:
    """A label that could never be answered is named with its rows, the commonest first, five at most."""
    test = [pair(f"{label} {n}", label) for label in "abcdefg" for n in range(3 if label == "d" else 1)]
    with pytest.raises(Problem) as caught:
        labels_of({"train": [pair("x", "a")], "validation": [], "test": test})
    assert str(caught.value) == (
        "the test split: labels that no training row has: 'd' (3 rows), 'b' (1 rows), 'c' (1 rows), 'e' (1 rows), "
        "'f' (1 rows); add training rows for them, or set prompt.task: text"
    )


BROKEN = [
    Quarantined("a.jsonl", 3, "not_json", "Expecting value", b"{"),
    Quarantined("a.jsonl", 5, "duplicate", "twice", b"{}"),
    Quarantined("a.jsonl", 8, "duplicate", "again", b"{}"),
]


def test_too_many_bad_rows_stop_the_run_with_counted_reasons() -> None:
    """The error says how many of how many, why, where they stand, and what to do."""
    with pytest.raises(Problem) as caught:
        too_many(BROKEN, 40, 0.05)
    assert str(caught.value) == (
        "validate.max_quarantined: 3 of 40 rows are bad: 2 duplicate, 1 not_json; expected at most 2 (0.05 of them); "
        "got a.jsonl row 3 (not_json), a.jsonl row 5 (duplicate), a.jsonl row 8 (duplicate); first: Expecting value; "
        "mend the rows, or raise the limit"
    )


@pytest.mark.parametrize(("rows", "limit", "stops"), [(60, 0.05, False), (59, 0.05, True), (10**6, 0.0, True)])
def test_the_limit_itself_is_allowed(rows: int, limit: float, *, stops: bool) -> None:
    """As many bad rows as params allow pass; one more in the share stops; a limit of zero lets none pass."""
    if stops:
        with pytest.raises(Problem, match=f"3 of {rows} rows are bad"):
            too_many(BROKEN, rows, limit)
    else:
        too_many(BROKEN, rows, limit)
        too_many([], rows, 0.0)


def test_rows_in_are_rows_kept_and_rows_set_aside(
    ingested: Callable[..., Path], make_params: Callable[..., Params]
) -> None:
    """The report accounts for every row from the file on, and each kept row is on one side, unchanged."""
    params = make_params(**{"validate.max_quarantined": 0.1})
    pairs = [*questions(100), pair("question 7", "no", row=100), pair("", "yes", row=101)]
    data = ingested(pairs, BROKEN)
    run(params.prompt, params.validate, data)
    sides = {name: read_pairs(data / "validate" / f"{name}.parquet") for name in SPLITS}
    report = read_json(data / "validate" / "report.json")
    assert report["rows"] == {"in": 105, "unreadable": 3, "set_aside": 2, "kept": 100}
    assert report["splits"] == {name: len(rows) for name, rows in sides.items()}
    assert report["reasons"] == {"duplicate": 3, "empty_prompt": 1, "not_json": 1}
    assert sorted((row for rows in sides.values() for row in rows), key=lambda row: row.row) == pairs[:100]
    assert [row.row for row in read_quarantine(data / "validate" / "quarantine.parquet")] == [100, 101]


def test_the_run_leaves_labels_numbers_and_a_page(ingested: Callable[..., Path]) -> None:
    """Labels and their counts, each expectation's outcome, and a page that shows rows unread and rows set aside."""
    data = ingested([*questions(100), pair("question 7", "no")], BROKEN)
    run(LABELS, LIMITS, data)
    report = read_json(data / "validate" / "report.json")
    assert read_json(data / "validate" / "labels.json") == ["no", "yes"]
    assert report["labels"] == {"no": 50, "yes": 50}
    assert {"reason": "duplicate", "expects": SENTENCES["duplicate"], "sets_aside": True, "rows": 1} in report[
        "expectations"
    ]
    page = (data / "validate" / "report.html").read_text(encoding="utf-8")
    assert "Expecting value" in page
    assert "not so: no second copy of the same pair" in page


def test_free_texts_are_no_labels(ingested: Callable[..., Path]) -> None:
    """With the task text, test rows may say what no training row says."""
    data = ingested([pair(f"question {n}", f"answer {n}") for n in range(60)])
    run(Prompt(task="text", system=""), LIMITS, data)
    assert read_json(data / "validate" / "labels.json") == []
    assert read_json(data / "validate" / "report.json")["labels"] == {}


@pytest.mark.parametrize(
    ("pairs", "unread", "opening"),
    [
        (questions(20), BROKEN, "validate.max_quarantined: 3 of 23 rows are bad: 2 duplicate, 1 not_json;"),
        ([*questions(7), *[pair("")] * 3], [],
         "validate.max_quarantined: 3 of 10 rows are bad: 3 empty_prompt;"),
        ([*questions(40, split="train"), pair("z", "new", split="test")], [],
         "the test split: labels that no training row has: 'new' (1 rows);"),
    ],
    ids=["unreadable", "bad", "label"],
)  # fmt: skip
def test_a_run_that_stops_leaves_what_was_there(
    ingested: Callable[..., Path], pairs: list[Pair], unread: list[Quarantined], opening: str
) -> None:
    """Rows that ingest could not read count towards the limit too, and a stopped run writes nothing."""
    data = ingested(pairs, unread)
    with pytest.raises(Problem) as caught:
        run(LABELS, LIMITS, data)
    assert str(caught.value).startswith(opening)
    assert not (data / "validate").exists()


def test_the_same_pairs_give_the_same_bytes(ingested: Callable[..., Path]) -> None:
    """Nothing of the day, of chance or of Great Expectations' own ids gets into the files."""
    data = ingested([*questions(100), pair("question 7", "no")], BROKEN)
    written = []
    for _ in range(2):
        run(LABELS, LIMITS, data)
        written.append({path.name: path.read_bytes() for path in (data / "validate").iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {
        "train.parquet", "validation.parquet", "test.parquet", "quarantine.parquet",
        "labels.json", "report.json", "report.html",
    }  # fmt: skip
