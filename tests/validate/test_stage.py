import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.dedup.minhash import near_duplicates
from pipeline.dedup.normalize import normalize
from pipeline.errors import UserError
from pipeline.files import read_json  # fmt: skip
from pipeline.pairs import (  # fmt: skip
    SPLITS,
    Message,
    Pair,
    Quarantined,
    read_pairs,
    read_quarantine,
    write_pairs,
    write_quarantine,
)
from pipeline.params import Params, Prompt
from pipeline.validate.columns import split_group
from pipeline.validate.findings import NOT_QUARANTINED
from pipeline.validate.stage import run
from pipeline.validate.stop_conditions import stop_reason
from tests.support.checked_pairs import LABELS, LIMITS, LONG, Found, acting, changed, pair, questions, sides_of


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
def checked() -> Found:
    """All of ROWS held against the suite at once."""
    return Found([pair(prompt, completion, row=number) for number, (prompt, completion, _) in enumerate(ROWS)])


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda number: f"{number}-{ROWS[number][2] or 'good'}")
def test_a_row_goes_by_the_first_check_that_it_breaks(checked: Found, number: int) -> None:
    """Each row is kept, or set aside with the reason."""
    why, reason = checked.why[number], ROWS[number][2]
    assert (None if why == NOT_QUARANTINED else checked.findings[why].check.reason) == reason


def test_each_check_counts_every_row_that_breaks_it(checked: Found) -> None:
    """Also one that is set aside for another fault of its text; what it is to others is asked only of those left."""
    broken = {found.check.reason: len(found.places) for found in checked.findings if len(found.places)}
    assert broken == {
        "empty_prompt": 4,
        "empty_completion": 4,
        "prompt_too_long": 3,
        "completion_too_long": 2,
        "control_characters": 6,
        "duplicate": 1,
        "conflict": 4,
        "near_duplicate": 1,
    }


@pytest.mark.parametrize("pairs", [questions(40), questions(40, split="train") + questions(9, split="test", start=50)])
def test_clean_rows_are_all_kept(pairs: list[Pair]) -> None:
    """Nothing is set aside for no reason, and the pairs keep their order."""
    assert (Found(pairs).why == NOT_QUARANTINED).all()


def test_one_prompt_with_two_completions_is_reported_and_kept() -> None:
    """A conflict may be right, so it warns: both rows stay, on one side."""
    pairs = [*questions(40), pair("Question 3", "yes"), pair("question  3", "maybe")]
    found = Found(pairs)
    assert found.found("conflict") == [3, 40, 41]
    assert found.bad == []
    assert len({found.kept[prompt] for prompt in ("question 3", "Question 3", "question  3")}) == 1


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
    sides = sides_of(pairs)
    found: dict[str, set[str]] = {}
    for row in pairs:
        found.setdefault(split_group(row.prompt), set()).add(sides[row.id])
    assert len(found) == 200
    assert {len(names) for names in found.values()} == {1}


@pytest.mark.parametrize(
    ("prompt", "drawn", "with_test_given"),
    [("prompt 0", "test", "train"), ("prompt 1", "test", "validation"), ("prompt 2", "validation", "train"),
     ("prompt 4", "train", "train"), ("PROMPT  4", "train", "train")],
)  # fmt: skip
def test_the_side_of_a_prompt_never_changes(prompt: str, drawn: str, with_test_given: str) -> None:
    """The law itself is pinned: another hash would move rows of released models between training and test."""
    given = pair("z", split="test")
    assert sides_of([pair(prompt)])[pair(prompt).id] == drawn
    assert sides_of([pair(prompt), given])[pair(prompt).id] == with_test_given


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.25), (0.3, 0.3), (0.0, 0.5), (0.2, 0.05)])
def test_the_sides_have_their_shares(validation: float, test: float) -> None:
    """Of many prompts, the held-out shares come out within two points of what params ask."""
    sides = list(sides_of(questions(5000), changed(validation_share=validation, test_share=test)).values())
    assert sides.count("validation") / 5000 == pytest.approx(validation, abs=0.02)
    assert sides.count("test") / 5000 == pytest.approx(test, abs=0.02)


def test_a_larger_test_share_keeps_the_old_test_rows() -> None:
    """Raising the share adds rows to the test set and takes none out."""
    small, large = (
        {key for key, side in sides_of(questions(400), changed(test_share=share)).items() if side == "test"}
        for share in (0.2, 0.4)
    )
    assert small < large


def test_another_salt_is_another_split() -> None:
    """The salt decides which rows fall where, and nothing else does."""
    assert sides_of(questions(300)) == sides_of(questions(300))
    assert sides_of(questions(300)) != sides_of(questions(300), changed(salt="other"))


def test_the_split_does_not_hang_on_the_order_of_the_rows() -> None:
    """Shuffled rows, copies and a given test file among them, give the same rows on the same sides."""
    rows = [*questions(60), *questions(5), *questions(20, split="test", start=50), pair("", "yes")]
    found, again = Found(rows), Found(random.Random(5).sample(rows, len(rows)))
    assert again.kept == found.kept
    assert sorted(again.bad) == sorted(found.bad)


def test_a_source_that_names_its_side_stays_there() -> None:
    """A file given as training, validation or test set is all there."""
    given = [question for name, start in zip(SPLITS, (0, 40, 80), strict=True)
             for question in questions(40, split=name, start=start)]  # fmt: skip
    sides = sides_of([*given, *questions(40, start=120)])
    assert all(sides[row.id] == row.split for row in given)


def test_a_given_test_file_is_the_whole_test_set() -> None:
    """Where a source says that it is the test set, no other row is drawn into it."""
    given = questions(10, split="test", start=300)
    sides = sides_of([*questions(300), *given])
    assert {key for key, side in sides.items() if side == "test"} == {row.id for row in given}
    assert list(sides.values()).count("validation") / 300 == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize("split", ["train", "validation", None])
def test_a_row_whose_prompt_is_in_the_given_test_file_is_set_aside(split: str | None) -> None:
    """What the model is tested on it has not seen, in whatever case and blanks, and whatever its completion there."""
    seen = [pair("Question  301", "no", split=split), pair("question 302", "other", split=split)]
    given = questions(5, split="test", start=300)
    found = Found([*questions(40, split="train"), *seen, *given])
    assert found.bad == [("also_in_test", row.raw) for row in seen]
    assert sorted(prompt for prompt, name in found.kept.items() if name == "test") == [
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
    assert Found([*given, seen]).bad == [("also_in_validation", seen.raw)]


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
    assert Found([*questions(10), odd]).bad == ([(reason, b"odd")] if reason else [])


@pytest.mark.parametrize("first", ["train", "test"])
def test_a_pair_in_both_files_stays_in_the_given_test_file(first: str) -> None:
    """The very same pair in a training file, before or after, never takes a row out of the given test file."""
    train, given = questions(40, split="train"), questions(5, split="test", start=38)
    pairs = [*train, *given] if first == "train" else [*given, *train]
    found = Found(pairs)
    assert {prompt for prompt, side in found.kept.items() if side == "test"} == {row.raw.decode() for row in given}
    assert sorted(raw for _, raw in found.bad) == [b"question 38", b"question 39"]


def test_a_prompt_of_a_training_file_is_never_tested_on() -> None:
    """Where a row to be split has the prompt of a given training row, the two do not end up on two sides."""
    pairs = [*questions(100, split="train"), *(pair(f"Question {n}", "maybe") for n in range(50, 150))]
    found = Found(pairs)
    good = [
        (split_group(row.prompt), side)
        for row, side, why in zip(pairs, found.sides, found.why, strict=True)
        if why == NOT_QUARANTINED
    ]
    trained, tested = ({group for group, side in good if SPLITS[side] == name} for name in ("train", "test"))
    assert tested
    assert not trained & tested
    assert len(good) + len(found.bad) == len(pairs)


BROKEN = [
    Quarantined("a.jsonl", 3, "not_json", "Expecting value", b"{"),
    Quarantined("a.jsonl", 5, "duplicate", "twice", b"{}"),
    Quarantined("a.jsonl", 8, "duplicate", "again", b"{}"),
]


@pytest.mark.parametrize("action", ["quarantine", "warn", "off"])
def test_what_becomes_of_a_row_is_said_in_params(action: str) -> None:
    """Set aside, reported, or not looked at."""
    found = Found([*questions(20), pair("odd \x07")], acting(control_characters=action))
    assert found.bad == ([("control_characters", b"odd \x07")] if action == "quarantine" else [])
    reasons = {item.check.reason for item in found.findings if len(item.places)}
    assert reasons == (set() if action == "off" else {"control_characters"})
    assert stop_reason(found.judged, 0.5, labels=False) is None


def test_a_training_row_near_a_drawn_one_is_set_aside() -> None:
    """Whichever side each is drawn for by itself, no two rows that are nearly the same end on both sides."""
    pairs = [pair(f"{LONG[: 40 + n]}{mark}", "yes", row=n) for n in range(50) for mark in ("", " now", " soon")]
    found = Found(pairs, changed(near_duplicate_similarity=0.8))
    kept = [
        (row.prompt, side)
        for row, side, why in zip(pairs, found.sides, found.why, strict=True)
        if why == NOT_QUARANTINED
    ]
    kept = list({normalize(prompt): (prompt, side) for prompt, side in kept}.values())
    near = near_duplicates([normalize(prompt) for prompt, _ in kept], 0.8)
    sides = [SPLITS[side] for _, side in kept]
    assert len(near.first) > 10
    assert all(
        sides[a] == sides[b] or "train" not in (sides[a], sides[b])
        for a, b in zip(near.first, near.second, strict=True)
    )
    assert "near_heldout" in {reason for reason, _ in found.bad}


@pytest.mark.parametrize("action", ["warn", "quarantine"])
def test_a_training_row_near_the_given_test_set_is_reported_or_set_aside(action: str) -> None:
    """The test set stays whole either way."""
    pairs = [
        *questions(40, split="train"),
        pair(LONG, split="train"),
        pair(f"{LONG}!!", split="test"),
        pair(f"{LONG} ok", split="test"),
    ]
    found = Found(
        pairs,
        changed(
            near_duplicate_similarity=0.8,
            checks=LIMITS.checks.model_copy(update={"near_test": action, "also_in_test": "off"}),
        ),
    )
    assert found.found("near_test") == [40]
    assert found.bad == ([("near_test", LONG.encode())] if action == "quarantine" else [])


def test_rows_in_are_rows_kept_and_rows_set_aside(
    ingested: Callable[..., Path], make_params: Callable[..., Params]
) -> None:
    """The report accounts for every row from the file on, and each kept row is on one side, unchanged."""
    params = make_params(**{"validate.max_quarantined_share": 0.1, "validate.near_duplicate_similarity": 1.0})
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
    (duplicate,) = [found for found in report["checks"] if found["reason"] == "duplicate"]
    assert (duplicate["rows"], duplicate["action"], duplicate["first"]) == (1, "quarantine", "all.jsonl row 1")
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
        (questions(20), BROKEN, "validate.max_quarantined_share: 3 of 23 rows are bad: 2 duplicate, 1 not_json;"),
        ([*questions(7), *[pair("")] * 3], [],
         "validate.max_quarantined_share: 3 of 10 rows are bad: 3 empty_prompt;"),
        ([*questions(40, split="train"), pair("z", "new", split="test")], [],
         "the test split: labels that no training row has: 'new' (1 rows);"),
    ],
    ids=["unreadable", "bad", "label"],
)  # fmt: skip
def test_a_run_that_stops_leaves_what_was_there(
    ingested: Callable[..., Path], pairs: list[Pair], unread: list[Quarantined], opening: str
) -> None:
    """Rows that ingest could not read count towards the limit too; what is left says why, and is no output."""
    data = ingested(pairs, unread)
    with pytest.raises(UserError) as caught:
        run(LABELS, LIMITS, data)
    assert str(caught.value).startswith(opening)
    assert {path.name for path in (data / "validate").iterdir()} == {"refused"}
    left = {path.name for path in (data / "validate" / "refused").iterdir()}
    assert left == {"quarantine.parquet", "overlaps.parquet", "report.json", "report.html", "data_docs"}


def test_what_was_refused_goes_when_it_is_mended(ingested: Callable[..., Path]) -> None:
    """A run that goes through leaves its outputs alone."""
    data = ingested(questions(20), BROKEN)
    with pytest.raises(UserError):
        run(LABELS, LIMITS, data)
    run(LABELS, changed(max_quarantined_share=0.5), data)
    assert not (data / "validate" / "refused").exists()
    assert (data / "validate" / "train.parquet").exists()


def test_the_same_pairs_give_the_same_bytes(ingested: Callable[..., Path]) -> None:
    """Nothing of the day, of chance or of Great Expectations' own ids gets into the files."""
    data = ingested([*questions(100), pair("question 7", "no")], BROKEN)
    written = []
    for _ in range(2):
        run(LABELS, LIMITS, data)
        files = [path for path in (data / "validate").rglob("*") if path.is_file()]
        written.append({path.name: path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert set(written[0]) == {
        "train.parquet", "validation.parquet", "test.parquet", "quarantine.parquet", "overlaps.parquet",
        "labels.json", "report.json", "report.html", "1.html", "2.html", "3.html",
    }  # fmt: skip


def test_what_is_masked_is_split_as_it_is_trained_on(ingested: Callable[..., Path]) -> None:
    """Rows that are one pair once they are masked are copies, so that none is trained on and tested on."""
    mails = [pair(f"write to name{n}@mail{n}.example please", "yes", row=n) for n in range(40)]
    data = ingested([*questions(40), *mails])
    checks = LIMITS.checks.model_copy(update={"pii": "mask"})
    run(LABELS, changed(checks=checks, max_quarantined_share=0.9), data)
    kept = [row for name in SPLITS for row in read_pairs(data / "validate" / f"{name}.parquet")]
    assert [row.prompt for row in kept if "mail" in row.prompt] == ["write to [e-mail] please"]
    aside = read_quarantine(data / "validate" / "quarantine.parquet")
    assert {(row.reason, b"@" in row.raw) for row in aside} == {("duplicate", True)}
    (found,) = [check for check in read_json(data / "validate" / "report.json")["checks"] if check["reason"] == "pii"]
    assert (found["rows"], found["action"]) == (40, "mask")


def test_json_that_is_none_is_set_aside_where_json_is_asked_for(ingested: Callable[..., Path]) -> None:
    """Before anything is trained on it or scored by it; a text may say what it likes."""
    rows = [*(pair(f"question {row}", json.dumps({"a": row})) for row in range(40)), pair("broken", '{"a": 1,}')]
    data = ingested(rows)
    run(Prompt(task="json", system=""), LIMITS, data)
    assert [row.reason for row in read_quarantine(data / "validate" / "quarantine.parquet")] == ["not_json"]
    assert read_json(data / "validate" / "labels.json") == []
    run(Prompt(task="text", system=""), LIMITS, data)
    assert read_quarantine(data / "validate" / "quarantine.parquet") == []
