"""Drift of the training rows from the champion's: labels, lengths, words."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.champion import Champion
from pipeline.params import DatasetAction, Validate
from pipeline.validate.checks import drift_check
from pipeline.validate.columns import TRAIN, prompt_texts
from pipeline.validate.drift_measure import DriftMeasure, length_histogram, measure_drift
from pipeline.validate.expectations import run_suite
from pipeline.validate.findings import ValidatedPairs

PROFILE_WORDS = 500
"""Commonest words of a profile."""
MAX_COUNTED_WORDS = 200_000
"""Words that are counted; rarer ones beyond them are left out, so that memory stays bounded."""
WORD_SEPARATORS = r"[^\p{L}\p{N}]+"
OTHER_VALUES = "all others"


@dataclass(frozen=True)
class DriftFindings:
    """What was compared with the champion's rows, and what of it has moved further than params allow."""

    compared: Sequence[DriftMeasure] = ()
    broken: Sequence[DriftMeasure] = ()
    action: DatasetAction = "off"

    def summary(self) -> dict[str, Any]:
        """Put it into the report."""
        compared = [{**asdict(drift), "broken": drift in self.broken} for drift in self.compared]
        return {"action": self.action, "compared": compared}


NO_DRIFT = DriftFindings()
"""What is found where there is nothing to compare with."""


def drift_from_champion(
    champion: Champion | None, profile: Mapping[str, Any], words: Counter[str], validate: Validate
) -> DriftFindings:
    """Hold the profile of the training rows against the champion's, if there is one."""
    before = champion.release["profile"] if champion else None
    if before is None or validate.checks.drift == "off":
        return NO_DRIFT
    compared = measure_drifts(before, profile, words)
    far = np.array([drift.thousandths for drift in compared], np.int64)
    (finding,) = run_suite({"drift": far}, [drift_check(validate)], validate).findings
    return DriftFindings(compared, [compared[index] for index in finding.places], validate.checks.drift)


def training_rows(judged: ValidatedPairs) -> npt.NDArray[np.bool_]:
    """Say which pairs are trained on."""
    trained: npt.NDArray[np.bool_] = judged.kept & (judged.sides == TRAIN)
    return trained


def training_profile(judged: ValidatedPairs, words: Counter[str], *, labels: bool) -> dict[str, Any]:
    """Sum up the training rows that are kept: labels, lengths in powers of two, the most frequent words of the prompts.

    Args:
        judged: What became of each pair.
        words: Of their prompts, counted.
        labels: Whether completions are labels; if not, they are not counted one by one.
    """
    columns, rows = judged.columns, training_rows(judged)
    answers = np.bincount(columns.completions[rows], minlength=len(columns.answers)).tolist() if labels else []
    common = dict(words.most_common(PROFILE_WORDS))
    return {
        "rows": int(rows.sum()),
        "labels": {label: number for label, number in zip(columns.answers, answers, strict=labels) if number},
        "prompt_chars": length_histogram(columns.texts["prompt_chars"][rows]),
        "completion_chars": length_histogram(columns.texts["completion_chars"][rows]),
        "words": common,
        "other_words": words.total() - sum(common.values()),
    }


def word_counts(batches: Iterable[pa.RecordBatch]) -> Counter[str]:
    """Count the words in the prompts of some pairs, in the order of the alphabet."""
    counts: Counter[str] = Counter()
    for batch in batches:
        words = pc.split_pattern_regex(pc.utf8_lower(prompt_texts(batch)), WORD_SEPARATORS).flatten()
        for word, number in zip(*(column.to_pylist() for column in pc.value_counts(words).flatten()), strict=True):
            if word and (word in counts or len(counts) < MAX_COUNTED_WORDS):
                counts[word] += number
    return Counter(dict(sorted(counts.items())))


def measure_drifts(before: Mapping[str, Any], now: Mapping[str, Any], words: Counter[str]) -> list[DriftMeasure]:
    """Compare the profile of now, and all words that were counted for it, with the champion's profile."""
    known = {word: words[word] for word in before["words"]}
    known[OTHER_VALUES] = words.total() - sum(known.values())
    drifts = {
        "labels": (before["labels"], now["labels"]),
        "prompt lengths": (before["prompt_chars"], now["prompt_chars"]),
        "completion lengths": (before["completion_chars"], now["completion_chars"]),
        "words": ({**before["words"], OTHER_VALUES: before["other_words"]}, known),
    }
    return [measure_drift(what, *both) for what, both in drifts.items() if all(sum(one.values()) for one in both)]
