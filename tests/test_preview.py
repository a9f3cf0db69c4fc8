from test_page import HOSTILE, Read
from transformers import PreTrainedTokenizerFast

from pipeline.pairs import Message
from pipeline.preview import Lengths, Sample, choose, lengths_of, marks_of, percentile, pieces_of, preview_page
from pipeline.prompt import Encoded, Renderer


def encoded(length: int, *, start: int = 2) -> Encoded:
    """A row of so many tokens."""
    return Encoded(list(range(length)), start)


def test_a_percentile_is_a_length_that_occurs() -> None:
    """The smallest that so large a share does not exceed."""
    numbers = [5, 1, 4, 2, 3, 6, 7, 8, 9, 10]
    assert [percentile(numbers, share) for share in (0.5, 0.9, 0.99, 1.0)] == [5, 9, 10, 10]
    assert percentile([], 0.5) == 0
    assert percentile([7], 0.5) == 7


def test_lengths_are_those_of_prompt_and_completion() -> None:
    """Of every row, with how many of them are too long."""
    assert lengths_of([encoded(5), encoded(9, start=8)], 1) == Lengths([2, 8], [3, 1], 1)


def test_the_rows_to_show_hang_on_no_order() -> None:
    """Shortest, middling and longest, some by their hash, those of several answers, one too long; none twice."""
    rows = [(f"{(7 * n) % 40:02}", encoded(10 + n)) for n in range(40)]
    rows.append(("zz", Encoded(list(range(12)), 8, ((2, 4),))))
    found = choose(rows, [("b", encoded(900)), ("a", encoded(800))])
    assert found == choose(rows[::-1], [("a", encoded(800)), ("b", encoded(900))])
    assert [sample.why for sample in found] == [
        "the shortest", "of middling length", "the longest", "several answers", *["drawn"] * 5, "too long",
    ]  # fmt: skip
    assert (found[0].id, len(found[2].encoded.input_ids), found[3].id, found[-1].id) == ("00", 49, "zz", "a")
    assert choose([], []) == []


def test_every_token_has_its_mark(tokenizer: PreTrainedTokenizerFast) -> None:
    """What is learnt, what is special, and what is beyond the limit, where then nothing is learnt."""
    row = Renderer(tokenizer, "").encode((Message("user", "hi"),), "yes")
    marks = marks_of(row, tokenizer, 1000)
    assert [mark for mark in marks if "learnt" in mark] == marks[row.completion_start :]
    assert marks[0] == "special"
    assert marks[-1] == "learnt special"
    cut = marks_of(row, tokenizer, len(marks) - 1)
    assert [place for place, mark in enumerate(cut) if "cut" in mark] == [len(marks) - 1]
    assert not [mark for mark in cut if "learnt" in mark]


def test_the_pieces_are_the_text(tokenizer: PreTrainedTokenizerFast) -> None:
    """Joined they are the row as it is decoded, whatever tokens a character takes."""
    ids = tokenizer("naïve 🚂 trains, 你好\n  and blanks", add_special_tokens=False)["input_ids"]
    pieces = pieces_of(ids, tokenizer)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == tokenizer.decode(ids)


def test_the_page_shows_tokens_as_text_and_needs_nothing_from_the_network(tokenizer: PreTrainedTokenizerFast) -> None:
    """Markup in a row stays text; blanks are seen; a very long row is shown by its ends."""
    row = Renderer(tokenizer, "").encode((Message("user", HOSTILE),), "yes sir")
    long = Encoded([*row.input_ids * 60], 5)
    samples = [Sample("the shortest", "ab12", row), Sample("too long", "cd34", long)]
    page = preview_page({"train": Lengths([3, 4], [1, 2], 1)}, samples, tokenizer, 1000)
    read = Read(page)
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert "http" not in page.replace("https://example.org", "").replace("https", "")
    assert "·" in read.texts
    assert f"… {len(long.input_ids) - 1500:,} more tokens …" in read.texts
    assert [text for text in read.texts if text.startswith(f"{len(row.input_ids)} tokens, ")]
