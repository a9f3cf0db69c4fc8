import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dedup.minhash import hash_ngrams, near_duplicates
from pipeline.dedup.normalize import normalize, text_hash
from pipeline.holdout import scored_prompts
from pipeline.holdout.scored_prompts import add_scored_prompts, read_scored_prompts, record_scored_prompts
from pipeline.pairs import Message, Pair
from pipeline.params import Validate
from tests.support.checked_pairs import LONG, Found, changed, only, pair, questions

WORDS = ["card", "bank", "money", "transfer", "account", "lost", "stolen", "payment", "refund", "cash", "fee", "limit"]
LAW = ("also_in_test", "also_in_validation", "scored_before", "near_heldout", "near_test")
"""The checks that keep what was held out from training."""


def sentence(draw: random.Random) -> str:
    """A prompt that is near no other by chance."""
    return " ".join(draw.choice(WORDS) for _ in range(14))


def mended(row: Pair, draw: random.Random) -> Pair:
    """The row as somebody corrects it: a letter more or less, a word less, a mark, another completion."""
    text = row.prompt
    at = draw.randrange(len(text) - 9)
    other = draw.choice(
        [text[:at] + text[at + 1 :], text[:at] + "x" + text[at:], text.rsplit(" ", 1)[0], f"{text}!", text.upper()]
    )
    completion = draw.choice(["yes", "no"])
    return replace(row, messages=(Message("user", other),), completion=completion, raw=other.encode())


def versions(number: int) -> Iterator[tuple[list[Pair], Validate]]:
    """Data that grow: each time rows come, go and are mended, and sometimes the split itself is another one."""
    draw = random.Random(7)
    rows: list[Pair] = []
    for version in range(number):
        rows = [mended(row, draw) if draw.random() < 0.1 else row for row in rows if draw.random() > 0.06]
        rows += [pair(sentence(draw), draw.choice(["yes", "no"]), row=1000 * version + n) for n in range(25)]
        draw.shuffle(rows)
        given = {row.id for row in rows[:20]} if version % 7 == 6 else set()
        asked = {"salt": "other"} if version >= 12 else {}
        share = 0.1 if version >= 20 else 0.25
        yield (
            [replace(row, split="train") if row.id in given else row for row in rows],
            only(changed(near_duplicate_similarity=0.8, test_share=share, **asked), *LAW),
        )


def near_any(texts: Sequence[str], others: set[str]) -> set[str]:
    """Those of some texts that are one of the others, or nearly are."""
    known = sorted(map(normalize, others))
    places = {normalize(text): text for text in texts}
    found = near_duplicates([*known, *(text for text in places if text not in set(known))], 0.8)
    asked = [*known, *(text for text in places if text not in set(known))]
    near = {asked[b] for a, b in zip(found.first, found.second, strict=True) if a < len(known) <= b}
    return {places[text] for text in near | (set(known) & set(places))}


def test_what_was_ever_tested_is_never_trained_on(tmp_path: Path) -> None:
    """Over thirty versions, with rows deleted and mended, another salt, other shares, rows that a source moves."""
    ever: set[str] = set()
    moved = 0
    for rows, validate in versions(30):
        found = Found(rows, validate, tested=read_scored_prompts(tmp_path))
        sides = found.kept
        learnt = [text for text, side in sides.items() if side != "test"]
        assert not near_any(learnt, ever)
        moved += len({text for text, side in sides.items() if side == "test"} & near_any([*sides], ever))
        now = {text for text, side in sides.items() if side == "test"}
        assert now
        add_scored_prompts(tmp_path, now)
        ever |= now
    assert moved > 150
    assert len(ever) > 100


def test_without_memory_a_mended_test_row_would_be_trained_on() -> None:
    """The law is not true by itself: the hash alone lets such rows through."""
    draw, ever = random.Random(1), set()
    rows = [pair(sentence(draw), row=n) for n in range(300)]
    ever = {text for text, side in Found(rows).kept.items() if side == "test"}
    again = [mended(row, draw) if row.prompt in ever else row for row in rows]
    learnt = [text for text, side in Found(again).kept.items() if side != "test"]
    assert near_any(learnt, ever)


def test_a_row_that_a_source_gives_to_training_is_set_aside_if_it_was_tested(tmp_path: Path) -> None:
    """A source says where its rows go, so it is not moved; with a given test set none is drawn into that."""
    add_scored_prompts(tmp_path, [LONG])
    for split, given in (("train", []), (None, questions(5, split="test", start=90))):
        rows = [*questions(60), *given, pair(LONG, split=split, row=70), pair(f"{LONG} x", split=split, row=71)]
        found = Found(
            rows, only(changed(near_duplicate_similarity=0.8), "scored_before"), tested=read_scored_prompts(tmp_path)
        )
        assert found.bad == [("scored_before", LONG.encode()), ("scored_before", f"{LONG} x".encode())]


def test_what_is_still_in_the_test_set_sets_no_row_aside(tmp_path: Path) -> None:
    """A given test set stays what it is, and rows near it are only reported, before and after it was tested."""
    rows = [*questions(40, split="train"), pair(f"{LONG} x", split="train"), pair(LONG, split="test")]
    validate = changed(near_duplicate_similarity=0.8)
    before = Found(rows, validate)
    add_scored_prompts(tmp_path, [LONG])
    after = Found(rows, validate, tested=read_scored_prompts(tmp_path))
    assert before.bad == after.bad == []
    assert after.found("scored_before") == []
    assert after.found("near_test") == [40]


def test_prompts_are_kept_once_and_not_as_text(tmp_path: Path) -> None:
    """In any spelling; the same prompts give the same files, and none holds a word of them."""
    assert add_scored_prompts(tmp_path, [LONG, f"{LONG.upper()}!", "other"]) == 2
    assert add_scored_prompts(tmp_path, [LONG, "third"]) == 1
    assert add_scored_prompts(tmp_path, [LONG]) == 0
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    assert all(b"parcel" not in path.read_bytes() for path in files)
    found = read_scored_prompts(tmp_path)
    assert set(found.prompts.tolist()) == {text_hash(normalize(text)) for text in (LONG, "other", "third")}
    place = found.prompts.tolist().index(text_hash(normalize(LONG)))
    assert np.array_equal(found.grams.of(place, place + 1).hashes, hash_ngrams([normalize(LONG)]).hashes)


def test_many_prompts_are_kept_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each small enough for git."""
    monkeypatch.setattr(scored_prompts, "FILE_NGRAMS", 34)
    assert add_scored_prompts(tmp_path, [f"prompt {n}" for n in range(10)]) == 10
    assert len(list(tmp_path.iterdir())) == 3
    assert len(read_scored_prompts(tmp_path)) == 10


def test_a_test_row_that_is_set_aside_for_itself_does_not_let_its_neighbour_be_trained_on(tmp_path: Path) -> None:
    """It was tested, and is in the test set no longer."""
    add_scored_prompts(tmp_path, [f"{LONG} \x07"])
    rows = [*questions(40, split="train"), pair(f"{LONG} x", split="train", row=70), pair(f"{LONG} \x07", split="test")]
    rules = only(changed(near_duplicate_similarity=0.8), "scored_before", "control_characters")
    found = Found([*rows, pair("open", split="test")], rules, tested=read_scored_prompts(tmp_path))
    assert ("scored_before", f"{LONG} x".encode()) in found.bad


def test_only_rows_that_a_model_answered_were_tested(tmp_path: Path) -> None:
    """Whatever the splits hold by now; before the first evaluation none."""
    data = tmp_path / "data"
    for folder in ("evaluate", "scored_prompts"):
        (data / folder).mkdir(parents=True)
    assert record_scored_prompts(data) == 0
    answered = pa.table({"id": ["a", "b"], "prompt": ["question 1", "Question 3"]})
    pq.write_table(answered, data / "evaluate" / "predictions.parquet")
    assert record_scored_prompts(data) == 2
    assert record_scored_prompts(data) == 0
    assert set(read_scored_prompts(data / "scored_prompts").prompts.tolist()) == {
        text_hash("question 1"),
        text_hash("question 3"),
    }
