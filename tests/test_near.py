import csv
import random

import numpy as np
import pytest
from conftest import PROJECT

from pipeline.near import Near, folded, grams_of, near_duplicates

BANKING = PROJECT.parent / "shared" / "data" / "banking77"
WORDS = ["card", "bank", "money", "transfer", "account", "lost", "stolen", "payment", "refund", "cash", "fee", "pin"]


def sentences(number: int, *, seed: int = 1) -> list[str]:
    """Different sentences of twelve words."""
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(12)) for _ in range(number)]


def jaccard(first: str, second: str) -> float:
    """The definition, in sets of characters in fours."""
    sets = [{text[at : at + 4] for at in range(max(len(text) - 3, 1))} for text in map(folded, (first, second))]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def paired(found: Near) -> dict[tuple[int, int], float]:
    return {
        (a, b): alike for a, b, alike in zip(found.first.tolist(), found.second.tolist(), found.jaccard, strict=True)
    }


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Hello, World!", "hello world"),
        ("  a\n\tb  ", "a b"),
        ("STRASSE straße", "strasse strasse"),
        ("can't", "cant"),
        ("?!", "?!"),
        ("", ""),
        ("карта №5", "карта 5"),
    ],
)
def test_case_blanks_and_punctuation_do_not_make_another_text(text: str, plain: str) -> None:
    """They are left out, but for a text that has nothing else."""
    assert folded(text) == plain


def test_every_pair_above_the_threshold_is_found_with_its_jaccard_index() -> None:
    """Against all pairs compared by the definition: none is missing, none is there that is not so alike."""
    texts = sentences(60)
    texts += (
        [text.replace("card", "cards") for text in texts] + [f"{text}!" for text in texts[:10]] + ["", "?", "a", "ab"]
    )
    want = {(a, b): alike for b in range(len(texts)) for a in range(b) if (alike := jaccard(texts[a], texts[b])) >= 0.7}
    assert len(want) > 60
    assert paired(near_duplicates(texts, 0.7)) == pytest.approx(want)


def test_texts_in_another_order_give_the_same_pairs() -> None:
    """Which texts are alike hangs on no other text."""
    texts = [*sentences(40), *(f"{text} please" for text in sentences(40))]
    order = random.Random(4).sample(range(len(texts)), len(texts))
    again = paired(near_duplicates([texts[at] for at in order], 0.8))
    want = paired(near_duplicates(texts, 0.8))
    assert want
    assert {tuple(sorted((order[a], order[b]))) for a, b in again} == set(want)


def test_a_crowd_of_equal_texts_is_found_in_linear_time() -> None:
    """Of many equal texts each is paired with the first, so that all are known; not each with each."""
    found = near_duplicates(["the same text again"] * 3000, 1.0)
    assert {b for a, b in paired(found) if a == 0} == set(range(1, 3000))
    assert len(found.first) < 3000 * 45


@pytest.mark.parametrize("texts", [[], ["one"], ["one text", "another one"]])
def test_few_texts_have_no_neighbours(texts: list[str]) -> None:
    """Nothing, one, or different ones give no pair."""
    assert paired(near_duplicates(texts, 0.5)) == {}


def test_grams_are_the_different_ones_of_each_text_alone() -> None:
    """No gram spans two texts, and each is counted once."""
    grams = grams_of(["aaaaaaa", "abcd", "abcd", "abcdabcd", "x\0y"])
    assert grams.sizes().tolist() == [1, 1, 1, 4, 1]
    assert np.array_equal(grams.hashes[1:2], grams.hashes[2:3])
    assert set(grams.hashes[1:2]) <= set(grams.hashes[3:7])


@pytest.mark.skipif(not BANKING.exists(), reason="Banking77 is not at ../shared/data/banking77")
def test_the_near_duplicates_of_banking77() -> None:
    """Of the official 3,080 test rows, 176 share four fifths of their grams with a training row, and 11 equal one."""
    texts = {}
    for split in ("train", "test"):
        with (BANKING / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            texts[split] = [row["text"] for row in csv.DictReader(file)]
    found = near_duplicates([*texts["train"], *texts["test"]], 0.8)
    trained = len(texts["train"])
    crosses = (found.first < trained) & (found.second >= trained)
    assert len(np.unique(found.second[crosses])) == 176
    assert len({folded(text) for text in texts["train"]} & {folded(text) for text in texts["test"]}) == 11
