"""Laws of free texts, held against sacrebleu and against the plain computation."""

import random
from functools import cache

import numpy as np
import pytest
from sacrebleu import sentence_chrf

from pipeline.metrics.text import chrf_scores, exact_match_scores, lcs_length, length_ratio, rouge_l, rouge_l_scores

TEXTS = ["", " ", "!", "a", "Grüße, 世界", "the cat sat on the mat", "The CAT, sat"]


def test_chrf_of_a_row_is_that_of_sacrebleu() -> None:
    """Each row has the sentence score of sacrebleu, brought from percent to a share."""
    expected = ["the sky is blue", "", "a rose", "grass"]
    got = ["the sky is green", "something", "a rose", ""]
    wanted = [sentence_chrf(answer, [want]).score / 100 for want, answer in zip(expected, got, strict=True)]
    scores = chrf_scores(expected, got)
    assert scores.tolist() == pytest.approx(wanted)
    assert scores[2] == pytest.approx(1.0)
    assert 0.4 < scores[0] < 1.0


def test_rows_and_answers_go_in_pairs() -> None:
    """An answer too few is a fault of the program, never a shorter mean."""
    with pytest.raises(ValueError, match="shorter"):
        chrf_scores(["one", "two"], ["one"])


def test_the_same_text_has_1_by_every_measure() -> None:
    """Whatever it is: empty, a blank, a sign, another script."""
    for score in (exact_match_scores, chrf_scores, rouge_l_scores):
        assert score(TEXTS, TEXTS).tolist() == [1.0] * len(TEXTS)


def test_a_text_and_none_have_nothing_in_common() -> None:
    """An empty answer has 0 where words were wanted, and words where none were."""
    for score in (exact_match_scores, chrf_scores, rouge_l_scores):
        assert score(["the sky", ""], ["", "the sky"]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("want", "answer", "score"),
    [
        ("police killed the gunman", "police kill the gunman", 3 / 4),
        ("police killed the gunman", "the gunman kill police", 2 / 4),
        ("the cat sat", "The CAT, sat!", 1.0),
        ("one two three four", "four", 2 / 5),
        ("Straße", "STRASSE", 1.0),
        ("привет мир", "мир привет", 1 / 2),
        ("!!!", "???", 0.0),
    ],
)
def test_rouge_l_of_known_answers(want: str, answer: str, score: float) -> None:
    """The first two are the example of Lin (2004), section 3.1; case counts for nothing, nor do signs; any script."""
    assert rouge_l(want, answer) == pytest.approx(score)


def test_the_longest_common_subsequence_is_that_of_the_plain_recursion() -> None:
    """On seeded texts of few different words, of one word to more than a machine word has bits."""
    draw = random.Random(1)

    def plainly(first: list[str], second: list[str]) -> int:
        @cache
        def of(i: int, j: int) -> int:
            if i == 0 or j == 0:
                return 0
            return of(i - 1, j - 1) + 1 if first[i - 1] == second[j - 1] else max(of(i - 1, j), of(i, j - 1))

        return max(of(i, len(second)) for i in range(len(first) + 1))

    for _ in range(60):
        first, second = (draw.choices("abcd", k=draw.randint(1, 90)) for _ in range(2))
        assert lcs_length(first, second) == plainly(first, second)


def test_the_length_ratio_is_a_median_of_what_has_words() -> None:
    """Twice as many words, as many, half; a row without wanted words has none, and n says so."""
    found = length_ratio(["a b", "a b", "a b", " "], ["a b c d", "x y", "x", "x"], 200, 1)
    assert found is not None
    assert (found.value, found.n) == (1.0, 3)
    assert 0.5 <= found.low <= 1.0 <= found.high <= 2.0
    assert length_ratio(["", " "], ["a", "b"], 200, 1) is None


def test_the_interval_of_the_length_ratio_covers_the_true_median() -> None:
    """Of seeded samples of 41 answers, about 95 in a hundred intervals hold the median of all answers."""
    draw = np.random.default_rng(2)
    lengths, covered = draw.geometric(0.02, 4001), []
    for _ in range(150):
        rows = draw.choice(lengths, 41)
        found = length_ratio(["w"] * 41, ["w " * int(length) for length in rows], 300, 1)
        assert found is not None
        covered.append(found.low <= np.median(lengths) <= found.high)
    assert 0.9 <= np.mean(covered) <= 1.0
