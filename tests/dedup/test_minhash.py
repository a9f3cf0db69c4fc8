import csv
import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup.minhash import (
    NearDuplicates,
    concat_ngrams,
    exact_jaccard,
    hash_ngrams,
    may_reach_threshold,
    near_duplicates,
)
from pipeline.dedup.normalize import normalize, text_hash
from tests.support.paths import PROJECT
from tests.support.properties import PROPERTY

BANKING = PROJECT.parent / "shared" / "data" / "banking77"
WORDS = ["card", "bank", "money", "transfer", "account", "lost", "stolen", "payment", "refund", "cash", "fee", "pin"]


def sentences(number: int, *, seed: int = 1) -> list[str]:
    """Different sentences of twelve words."""
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(12)) for _ in range(number)]


def jaccard(first: str, second: str) -> float:
    """The definition, in sets of characters in fours."""
    sets = [{text[at : at + 4] for at in range(max(len(text) - 3, 1))} for text in map(normalize, (first, second))]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def paired(found: NearDuplicates) -> dict[tuple[int, int], float]:
    return {
        (a, b): alike for a, b, alike in zip(found.first.tolist(), found.second.tolist(), found.jaccard, strict=True)
    }


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Hello, World!", "hello world"),
        ("  a\n\tb  ", "a b"),
        ("STRASSE straße", "strasse strasse"),
        ("can't (really)", "can't really"),
        ("\u201cyes,\u201d he said", "yes he said"),
        ("1.5 kg", "1.5 kg"),
        ("is -5 > 3?", "is -5 > 3"),
        ("C++, or C#?", "c++ or c#"),
        ("what is 12+3 ?", "what is 12+3"),
        ("cafe\u0301", "caf\u00e9"),
        ("पता", "पता"),
        ("?!", "?!"),
        ("", ""),
        ("карта №5", "карта №5"),
    ],
)
def test_case_blanks_and_punctuation_do_not_make_another_text(text: str, plain: str) -> None:
    """They are left out, but for a text that has nothing else; signs and what stands within a word are not."""
    assert normalize(text) == plain


def test_every_pair_above_the_threshold_is_found_with_its_jaccard_index() -> None:
    """Against all pairs compared by the definition: none is missing, none is there that is not so alike."""
    texts = sentences(60)
    texts += (
        [text.replace("card", "cards") for text in texts] + [f"{text}!" for text in texts[:10]] + ["", "?", "a", "ab"]
    )
    texts = list(dict.fromkeys(map(normalize, texts)))
    want = {(a, b): alike for b in range(len(texts)) for a in range(b) if (alike := jaccard(texts[a], texts[b])) >= 0.7}
    assert len(want) > 30
    assert paired(near_duplicates(texts, 0.7)) == pytest.approx(want)


def test_texts_in_another_order_give_the_same_pairs() -> None:
    """Which texts are alike hangs on no other text."""
    texts = [*sentences(40), *(f"{text} please" for text in sentences(40))]
    order = random.Random(4).sample(range(len(texts)), len(texts))
    again = paired(near_duplicates([texts[at] for at in order], 0.8))
    want = paired(near_duplicates(texts, 0.8))
    assert want
    assert {tuple(sorted((order[a], order[b]))) for a, b in again} == set(want)


def test_a_crowd_of_near_texts_is_found_in_linear_time() -> None:
    """Of many texts that are nearly one each is paired with the first, so that all are known; not each with each."""
    text = "the very same long text again and again with a number at its end that changes " * 3
    found = near_duplicates([f"{text}{number}" for number in range(3000)], 0.8)
    assert {b for a, b in paired(found) if a == 0} == set(range(1, 3000))
    assert len(found.first) < 3000 * 45 * 16


def test_texts_are_paired_with_others_of_which_only_grams_are_left() -> None:
    """The others count on behind the texts; two of them are no pair."""
    texts, others = sentences(30), [f"{text} please" for text in sentences(30)]
    whole = paired(near_duplicates([*texts, *others], 0.8))
    found = paired(near_duplicates(texts, 0.8, hash_ngrams([*others[:10], *others[10:]])))
    assert found == {both: alike for both, alike in whole.items() if both[0] < 30}
    assert found


def test_grams_are_cut_and_joined() -> None:
    """Of texts that follow each other, and of parts put together, they are those of the texts themselves."""
    texts = sentences(9)
    whole = hash_ngrams(texts)
    again = concat_ngrams([hash_ngrams(texts[:4]), hash_ngrams(texts[4:])])
    assert np.array_equal(again.hashes, whole.hashes)
    assert np.array_equal(again.starts, whole.starts)
    assert np.array_equal(whole.of(4, 9).hashes, hash_ngrams(texts[4:]).hashes)
    assert len(concat_ngrams([])) == 0


def test_the_hash_of_a_text_is_pinned() -> None:
    """It is kept of what was tested: another one would forget all of it."""
    assert text_hash("is it open") == 0xA6F5DB2C514BA787


@pytest.mark.parametrize("texts", [[], ["one"], ["one text", "another one"]])
def test_few_texts_have_no_neighbours(texts: list[str]) -> None:
    """Nothing, one, or different ones give no pair."""
    assert paired(near_duplicates(texts, 0.5)) == {}


def test_grams_are_the_different_ones_of_each_text_alone() -> None:
    """No gram spans two texts, and each is counted once."""
    grams = hash_ngrams(["aaaaaaa", "abcd", "abcd", "abcdabcd", "x\0y"])
    assert grams.sizes().tolist() == [1, 1, 1, 4, 1]
    assert np.array_equal(grams.hashes[1:2], grams.hashes[2:3])
    assert set(grams.hashes[1:2]) <= set(grams.hashes[3:7])


@pytest.mark.skipif(not BANKING.exists(), reason="Banking77 is not at ../shared/data/banking77")
def test_the_near_duplicates_of_banking77() -> None:
    """Of the official 3,080 test rows, 174 share four fifths of their grams with a training row, and 11 equal one."""
    texts = {}
    for split in ("train", "test"):
        with (BANKING / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            texts[split] = [row["text"] for row in csv.DictReader(file)]
    trained, tested = ({normalize(text) for text in texts[split]} for split in ("train", "test"))
    assert len(trained & tested) == 11
    every = sorted(trained | tested)
    found = near_duplicates(every, 0.8)
    near = {(every[a], every[b]) for a, b in paired(found)}
    whom = {a for a, b in near if b in trained} | {b for a, b in near if a in trained} | trained
    assert len([text for text in texts["test"] if normalize(text) in whom]) == 174


@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.8, 1.0])
def test_what_is_told_apart_beforehand_is_below_the_threshold(threshold: float) -> None:
    """No pair that reaches it is lost, also right at it; of short texts most of the others go."""
    texts = list(dict.fromkeys([*sentences(40), *(f"{text} a pin" for text in sentences(40)), "a" * 9, "ab" * 900]))
    grams = hash_ngrams(texts)
    first, second = (np.array(places) for places in zip(*combinations(range(len(texts)), 2), strict=True))
    exact = exact_jaccard(grams, first, second)
    passed = may_reach_threshold(grams, first, second, threshold)
    assert passed[exact >= threshold].all()
    assert passed.sum() < max((exact >= threshold).sum() * 2, 0.9 * len(passed))


@PROPERTY
@given(text=st.text())
def test_a_normalized_text_is_equal_to_itself_in_another_case_and_spacing(text: str) -> None:
    """Normalising is done once: again it changes nothing, and white space around a text is no part of it."""
    plain = normalize(text)
    assert normalize(plain) == plain
    assert normalize(f"  {text}\n") == plain
