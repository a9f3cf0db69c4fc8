"""Free-text metrics against the expected text, from 0 to 1."""

import re
from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics import CHRF

from pipeline.arrays import Floats
from pipeline.metrics.metric import Metric
from pipeline.stats.bootstrap import SHOWN_CONFIDENCE, bootstrap_draws, percentile_interval

WORD_PATTERN = re.compile(r"\w+")


def lowercase_words(text: str) -> list[str]:
    """The words of a text, case-folded."""
    return WORD_PATTERN.findall(text.casefold())


def exact_match_scores(expected: Sequence[str], got: Sequence[str]) -> Floats:
    """Exact match of each row."""
    return np.array([float(want == answer) for want, answer in zip(expected, got, strict=True)])


def chrf_scores(expected: Sequence[str], got: Sequence[str]) -> Floats:
    """Character n-gram F-score (Popovic 2015, by sacrebleu) of each row; the same text, even an empty one, has 1."""
    scorer = CHRF()
    return np.array(
        [
            1.0 if want == answer else scorer.sentence_score(answer, [want]).score / 100
            for want, answer in zip(expected, got, strict=True)
        ]
    )


def rouge_l_scores(expected: Sequence[str], got: Sequence[str]) -> Floats:
    """ROUGE-L (Lin 2004) of each row: F1 of the longest common subsequence of words, whatever their case.

    Words are runs of letters and digits of any script, not stemmed. A text without any is right only if it is the
    very same.
    """
    return np.array([rouge_l(want, answer) for want, answer in zip(expected, got, strict=True)])


def rouge_l(want: str, answer: str) -> float:
    """ROUGE-L of one answer."""
    wanted, predicted = lowercase_words(want), lowercase_words(answer)
    if not wanted or not predicted:
        return float(want == answer)
    return 2 * lcs_length(wanted, predicted) / (len(wanted) + len(predicted))


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a column of the table at once as the bits of a number (Hyyro 2004)."""
    positions: dict[str, int] = {}
    for index, word in enumerate(first):
        positions[word] = positions.get(word, 0) | 1 << index
    whole = steps = (1 << len(first)) - 1
    for word in second:
        met = steps & positions.get(word, 0)
        steps = ((steps + met) | (steps - met)) & whole
    return len(first) - steps.bit_count()


def length_ratio(expected: Sequence[str], got: Sequence[str], resamples: int, seed: int) -> Metric | None:
    """Median of how many times as many words the answers have as the texts that were wanted.

    Words are separated by whitespace. Of texts without words it is not known: None if there are no others.
    """
    words = [(len(want.split()), len(answer.split())) for want, answer in zip(expected, got, strict=True)]
    ratios = np.array([predicted / wanted for wanted, predicted in words if wanted])
    if not len(ratios):
        return None
    draws = bootstrap_draws(lambda rows: np.median(ratios[rows], axis=1), len(ratios), resamples, seed)
    return Metric(float(np.median(ratios)), len(ratios), *percentile_interval(draws, SHOWN_CONFIDENCE))
