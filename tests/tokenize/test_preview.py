from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from pipeline.model.chat_template import Encoded, PromptEncoder
from pipeline.model.tokenized import write_tokens
from pipeline.pairs import Message, Pair
from pipeline.tokenize.preview import (
    LengthCounts,
    PreviewSample,
    SampleChooser,
    percentile,
    preview_page,
    token_classes,
    token_texts,
)
from tests.support.html_parser import HOSTILE, Read

Row = tuple[str, Pair, Encoded]


def encoded(length: int, *, start: int = 2) -> Encoded:
    """A row of so many tokens."""
    return Encoded(list(range(length)), start)


def test_a_percentile_is_a_length_that_occurs() -> None:
    """The smallest that so large a share does not exceed."""
    numbers = Counter([5, 1, 4, 2, 3, 6, 7, 8, 9, 10])
    assert [percentile(numbers, share) for share in (0.0, 0.5, 0.9, 0.99, 1.0)] == [1, 5, 9, 10, 10]
    assert percentile(Counter({3: 9, 8: 1}), 0.9) == 3
    assert percentile(Counter({3: 9, 8: 2}), 0.9) == 8
    assert percentile(Counter(), 0.5) == 0
    assert percentile(Counter([7]), 0.5) == 7


def test_lengths_are_those_of_prompt_and_completion() -> None:
    """Counted of every row, which is told its length."""
    lengths = LengthCounts()
    assert [lengths.add(row) for row in (encoded(5), encoded(9, start=8), encoded(5))] == [5, 9, 5]
    assert lengths == LengthCounts(Counter({2: 2, 8: 1}), Counter({3: 2, 1: 1}), Counter({5: 2, 9: 1}), 0)


def pair(*turns: str, completion: str = "blue") -> Pair:
    """A pair whose prompt has these turns."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    messages = tuple(Message(roles[turn[0]], turn[1:]) for turn in turns)
    return Pair(messages, completion, "a.jsonl", 1, None, b"{}")


def chosen(path: Path, rows: Sequence[Row], too_long: Sequence[tuple[str, Encoded]]) -> list[PreviewSample]:
    """What is chosen of rows that go by in this order."""
    choice = SampleChooser()
    for row_id, row, tokens in rows:
        choice.add(row, row_id, len(tokens.input_ids))
    for row_id, tokens in too_long:
        choice.add_too_long(row_id, tokens)
    write_tokens(path, [(row_id, tokens) for row_id, _, tokens in rows])
    return choice.samples(path)


def test_the_rows_to_show_hang_on_no_order(tmp_path: Path) -> None:
    """By length, of each kind that is special, some by their hash, one too long; each once, with all its reasons."""
    special = [
        ("s1", pair("sBe brief.", "uthe sky?"), encoded(20)),
        ("s0", pair("sBe brief.", "uthe sky?"), encoded(21)),
        ("t1", pair("uhello", "ayes?", "uthe sky?"), encoded(22)),
        ("t0", pair("ugrün", "aja?", "uthe sky?"), encoded(23)),
    ]
    rows = [*((f"{(7 * n) % 40:02}", pair("uhello"), encoded(10 + n)) for n in range(40)), *special]
    too_long = [("b", encoded(900)), ("a", encoded(800))]
    found = chosen(tmp_path / "rows", rows, too_long)
    assert found == chosen(tmp_path / "turned", rows[::-1], too_long[::-1])
    assert [(sample.reason, sample.id) for sample in found] == [
        ("the shortest, drawn", "00"), ("of median length", "39"), ("the longest", "33"), ("own system", "s0"),
        ("several turns, unicode", "t0"), ("several turns", "t1"), *(("drawn", f"0{n}") for n in range(1, 6)),
        ("too long", "a"),
    ]  # fmt: skip
    assert [len(sample.encoded.input_ids) for sample in found][::11] == [10, 800]


def test_of_no_rows_none_is_shown(tmp_path: Path) -> None:
    """A split may be empty."""
    assert chosen(tmp_path / "rows", [], []) == []


def test_every_token_has_its_mark(tokenizer: PreTrainedTokenizerFast) -> None:
    """What is learnt, what is special, and what is beyond the limit, where then nothing is learnt."""
    row = PromptEncoder(tokenizer, "").encode((Message("user", "hi"),), "yes")
    marks = token_classes(row, tokenizer, 1000)
    assert [mark for mark in marks if "learnt" in mark] == marks[row.completion_start :]
    assert marks[0] == "special"
    assert marks[-1] == "learnt special"
    cut = token_classes(row, tokenizer, len(marks) - 1)
    assert [place for place, mark in enumerate(cut) if "cut" in mark] == [len(marks) - 1]
    assert not [mark for mark in cut if "learnt" in mark]


def test_the_pieces_are_the_text(tokenizer: PreTrainedTokenizerFast) -> None:
    """Joined they are the row as it is decoded, whatever tokens a character takes."""
    ids = tokenizer("naïve 🚂 trains, 你好\n  and blanks", add_special_tokens=False)["input_ids"]
    pieces = token_texts(ids, tokenizer)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == tokenizer.decode(ids)


def test_the_page_shows_tokens_as_text_and_needs_nothing_from_the_network(tokenizer: PreTrainedTokenizerFast) -> None:
    """Markup in a row stays text; blanks are seen; a very long row is shown by its ends."""
    row = PromptEncoder(tokenizer, "").encode((Message("user", HOSTILE),), "yes sir")
    long = Encoded([*row.input_ids * 60], 5)
    samples = [PreviewSample("the shortest", "ab12", row), PreviewSample("too long", "cd34", long)]
    page = preview_page(
        {"train": LengthCounts(Counter([3, 4]), Counter([1, 2]), Counter([4, 6]), 1)}, samples, tokenizer, 1000
    )
    read = Read(page)
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert "http" not in page.replace("https://example.org", "").replace("https", "")
    assert "·" in read.texts
    assert f"… {len(long.input_ids) - 1500:,} more tokens …" in read.texts
    assert [text for text in read.texts if text.startswith(f"{len(row.input_ids)} tokens, ")]
