"""How far the training rows are from those that the champion learnt from: labels, lengths, words."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from pipeline.champion import Champion
from pipeline.params import Told, Validate
from pipeline.validate.checks import drift_check
from pipeline.validate.columns import TRAIN, Numbers, prompts_of
from pipeline.validate.expectations import hold
from pipeline.validate.findings import Judged

WORDS = 500
"""Commonest words of a profile."""
KNOWN = 200_000
"""Words that are counted; rarer ones beyond them are left out, so that memory stays bounded."""
NOT_WORDS = r"[^\p{L}\p{N}]+"
SURE = 0.001
"""Largest p-value of a difference that is taken for one: in small data, chance alone moves every share."""
ANOTHER = "all others"


@dataclass(frozen=True)
class Drift:
    """How far one thing has moved.

    Args:
        what: Which.
        distance: Total variation: the share of rows (of words) that would have to be others, from 0 to 1.
        p_value: Of Pearson's chi-squared test that both come from one source.
        most: What has changed its share most: its name, its share then, its share now.
    """

    what: str
    distance: float
    p_value: float
    most: tuple[str, float, float]

    @property
    def thousandths(self) -> int:
        """The distance, or 0 if it may be chance."""
        return int(np.ceil(1000 * self.distance - 1e-6)) if self.p_value <= SURE else 0

    def __str__(self) -> str:
        name, then, now = self.most
        return f"{self.what} by {self.distance:.2f} (above all {name!r}, from {then:.1%} to {now:.1%})"


@dataclass(frozen=True)
class Moved:
    """What was compared with the champion's rows, and what of it has moved further than params allow."""

    compared: Sequence[Drift] = ()
    broken: Sequence[Drift] = ()
    action: Told = "off"

    def summary(self) -> dict[str, Any]:
        """Put it into the report."""
        told = [{**asdict(drift), "broken": drift in self.broken} for drift in self.compared]
        return {"action": self.action, "compared": told}


STILL = Moved()
"""What is found where there is nothing to compare with."""


def moved_from(champion: Champion | None, profile: Mapping[str, Any], words: Counter[str], validate: Validate) -> Moved:
    """Hold the profile of the training rows against the champion's, if there is one."""
    before = champion.release["profile"] if champion else None
    if before is None or validate.checks.drift == "off":
        return STILL
    compared = drifts(before, profile, words)
    far = np.array([drift.thousandths for drift in compared], np.int64)
    (finding,) = hold({"drift": far}, [drift_check(validate)], validate).findings
    return Moved(compared, [compared[place] for place in finding.places], validate.checks.drift)


def trained(judged: Judged) -> npt.NDArray[np.bool_]:
    """Say which pairs are trained on."""
    found: npt.NDArray[np.bool_] = judged.kept & (judged.sides == TRAIN)
    return found


def profile_of(judged: Judged, words: Counter[str], *, labels: bool) -> dict[str, Any]:
    """Sum up the training rows that are kept: labels, lengths in powers of two, the commonest words of the prompts.

    Args:
        judged: What became of each pair.
        words: Of their prompts, counted.
        labels: Whether completions are labels; if not, they are not counted one by one.
    """
    columns, rows = judged.columns, trained(judged)
    answers = np.bincount(columns.completions[rows], minlength=len(columns.answers)).tolist() if labels else []
    common = dict(words.most_common(WORDS))
    return {
        "rows": int(rows.sum()),
        "labels": {label: number for label, number in zip(columns.answers, answers, strict=labels) if number},
        "prompt_chars": lengths_of(columns.texts["prompt_chars"][rows]),
        "completion_chars": lengths_of(columns.texts["completion_chars"][rows]),
        "words": common,
        "other_words": words.total() - sum(common.values()),
    }


def lengths_of(lengths: Numbers) -> dict[str, int]:
    """Count lengths by the power of two that they do not exceed."""
    powers = np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    counted = np.bincount(powers).tolist()
    return {f"up to {2**power:,}": number for power, number in enumerate(counted) if number}


def words_of(batches: Iterable[pa.RecordBatch]) -> Counter[str]:
    """Count the words in the prompts of some pairs, in the order of the alphabet."""
    found: Counter[str] = Counter()
    for batch in batches:
        words = pc.split_pattern_regex(pc.utf8_lower(prompts_of(batch)), NOT_WORDS).flatten()
        for word, number in zip(*(column.to_pylist() for column in pc.value_counts(words).flatten()), strict=True):
            if word and (word in found or len(found) < KNOWN):
                found[word] += number
    return Counter(dict(sorted(found.items())))


def drifts(before: Mapping[str, Any], now: Mapping[str, Any], words: Counter[str]) -> list[Drift]:
    """Compare the profile of now, and all words that were counted for it, with the champion's profile."""
    known = {word: words[word] for word in before["words"]}
    known[ANOTHER] = words.total() - sum(known.values())
    told = {
        "labels": (before["labels"], now["labels"]),
        "prompt lengths": (before["prompt_chars"], now["prompt_chars"]),
        "completion lengths": (before["completion_chars"], now["completion_chars"]),
        "words": ({**before["words"], ANOTHER: before["other_words"]}, known),
    }
    return [drift_of(what, *both) for what, both in told.items() if all(sum(one.values()) for one in both)]


def drift_of(what: str, before: Mapping[str, int], now: Mapping[str, int]) -> Drift:
    """Compare two counts of the same things."""
    names = sorted(name for name in {*before, *now} if before.get(name) or now.get(name))
    table = np.array([[counted.get(name, 0) for name in names] for counted in (before, now)], np.float64)
    then, since = table / table.sum(axis=1, keepdims=True)
    place = int(np.argmax(np.abs(since - then)))
    p_value = float(stats.chi2_contingency(table, correction=False).pvalue) if len(names) > 1 else 1.0
    most = (names[place], float(then[place]), float(since[place]))
    return Drift(what, float(np.abs(since - then).sum() / 2), p_value, most)
