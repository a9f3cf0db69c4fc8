import numpy as np
import pytest

from pipeline.dedup.normalize import text_hash
from pipeline.pairs import Message, Pair
from pipeline.validate.columns import SHORT_COMPLETION, TEST, UNASSIGNED, ColumnReader, text_columns
from tests.support.checked_pairs import batch_of
from tests.support.column_pairs import pair


def counted(name: str, prompt: str, completion: str = "yes") -> int:
    """What is counted of one pair."""
    return int(text_columns(batch_of([pair("another"), pair(prompt, completion)]))[name][1])


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
        ("\u0085", 1),
    ],
)
def test_control_characters_are_those_that_belong_in_no_message(text: str, number: int) -> None:
    """Line ends, tabs and every letter pass; terminal codes, zeros and marks of a wrong decoding count."""
    assert counted("control_chars", text) == number
    assert counted("control_chars", "plain", text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("<|im_start|>system", 1),
        ("bye<|im_end|>\n<|im_start|>user", 2),
        ("[INST] do [/INST]", 2),
        ("<<SYS>>", 1),
        ("</s>", 1),
        ("<start_of_turn>user<end_of_turn>", 2),
        ("<|eot_id|>", 1),
        ("<\uff5cUser\uff5c>", 1),
        ("<bos>", 1),
        ("a <b> tag, x < y | z > w, [1], <spam>, </span>, <s1>", 0),
    ],
)
def test_words_of_chat_templates_are_counted(text: str, number: int) -> None:
    """Those of every family of templates, and no other markup."""
    assert counted("markup", text) == number


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("cafÃ© is open", True),
        ("â€œquotedâ€\x9d", True),
        ("naïve café, São Paulo, £20", False),
        ("Привет 🚂 你好", False),
        ("plain", False),
    ],
)
def test_text_that_was_decoded_wrongly_is_found(text: str, *, bad: bool) -> None:
    """UTF-8 that was read as Latin-1 is; letters of any script are not."""
    assert (counted("mojibake", text) > 0) is bad


@pytest.mark.parametrize(
    ("prompt", "completion", "stands"),
    [
        ("the answer is forty", "forty", 1),
        ("the answer is forty", "fifty", 0),
        ("yes or no?", "x" * SHORT_COMPLETION, 0),
        ("no or yes?", "yes", 0),
    ],
)
def test_an_answer_that_stands_in_its_prompt_is_found(prompt: str, completion: str, stands: int) -> None:
    """Unless it is so short that it stands in many by chance."""
    assert counted("answer_in_prompt", prompt, completion) == stands


def test_lengths_are_characters_without_the_blanks_round_them() -> None:
    """Characters, not bytes."""
    assert counted("prompt_chars", "  né🚂\n") == 3
    assert counted("completion_chars", "a", " 🚂 ") == 1


def test_the_question_is_the_last_turn() -> None:
    """A system message does not make up for an empty question; in another row, more turns change nothing."""
    several = (Message("system", "s"), Message("user", "a"), Message("assistant", "b"), Message("user", " "))
    found = text_columns(batch_of([pair("x"), Pair(several, "c", "a.jsonl", 2, None, b""), pair("y")]))
    assert found["question_seen"].tolist() == [1, 0, 1]


def test_a_reader_keeps_a_number_of_each_pair_whatever_the_batches() -> None:
    """Batches of any size give the same columns, and the prompts come back in order."""
    pairs = [pair(f"Question, {n}", "ab"[n % 2], row=n, split="test" if n == 3 else None) for n in range(7)]
    whole, parts = ColumnReader("salt"), ColumnReader("salt")
    assert list(whole.texts([batch_of(pairs)])) == [f"question {n}" for n in range(7)]
    assert len(list(parts.texts([batch_of(pairs[:2]), batch_of(pairs[2:])]))) == 7
    first, second = whole.columns(), parts.columns()
    for name, column in vars(first).items():
        if isinstance(column, np.ndarray):
            assert np.array_equal(column, getattr(second, name)), name
    assert first.texts.keys() == second.texts.keys()
    assert (first.answers, first.files, second.answers) == (["a", "b"], ["a.jsonl"], ["a", "b"])
    assert first.given.tolist() == [UNASSIGNED] * 3 + [TEST] + [UNASSIGNED] * 3
    assert [f"{number:016x}" for number in first.ids] == [pair.id for pair in pairs]


def test_prompts_are_equal_but_for_case_blanks_and_punctuation() -> None:
    """Their hashes say so; their place in the split hangs on punctuation too, as it always did."""
    reader = ColumnReader("salt")
    batches = [
        batch_of([pair("Is it open?"), pair("is  it open")]),
        batch_of([pair("is it closed"), pair("IS IT OPEN")]),
    ]
    assert list(reader.texts(batches)) == ["is it open", "is it closed"]
    found = reader.columns()
    assert found.prompts.tolist() == [0, 0, 1, 0]
    assert found.asked.tolist() == [text_hash("is it open"), text_hash("is it closed")]
    assert len(set(found.points.tolist())) == 3


def test_a_conversation_is_split_as_it_opens() -> None:
    """However long it has become, and whatever the system said before: all its rows have one point."""
    user, answer, more = Message("user", "Where is it?"), Message("assistant", "There."), Message("user", "Thanks!")
    rows = [(user,), (user, answer, more), (Message("system", "Be kind."), user), (more,)]
    reader = ColumnReader("salt")
    list(reader.texts([batch_of([Pair(turns, "ok", "a.jsonl", n, None, b"") for n, turns in enumerate(rows)])]))
    found = reader.columns()
    assert found.points[0] == found.points[1] == found.points[2] != found.points[3]
    assert found.turns.tolist() == [1, 3, 2, 1]


def test_prompts_in_another_language_are_counted_if_somebody_asks() -> None:
    """The last turn tells; without languages nobody asks."""
    pairs = [
        pair("Where is the parcel that I ordered?"),
        pair("Wo ist mein Paket, das ich letzte Woche bestellt habe?"),
    ]
    for languages, strange in {None: [0, 0], ("en",): [0, 1], ("en", "de"): [0, 0]}.items():
        reader = ColumnReader("salt", (), languages)
        list(reader.texts([batch_of(pairs)]))
        assert reader.columns().texts["other_language"].tolist() == strange


def test_completions_that_are_no_json_are_counted_if_they_are_to_be() -> None:
    """Each by itself; where completions are anything else, none is wrong."""
    pairs = [pair("one", '{"a": 1}'), pair("two", "{'a': 1}"), pair("three", "[]"), pair("four", "yes")]
    found = []
    for json in (True, False):
        reader = ColumnReader("salt", labels=False, json=json)
        list(reader.texts([batch_of(pairs)]))
        found.append(reader.columns().texts["not_json"].tolist())
    assert found == [[0, 1, 0, 1], [0, 0, 0, 0]]
