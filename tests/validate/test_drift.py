from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.champion import Champion
from pipeline.errors import UserError
from pipeline.pairs import Pair
from pipeline.validate.drift import (
    DriftFindings,
    drift_from_champion,
    measure_drifts,
    training_profile,
    training_rows,
    word_counts,
)
from pipeline.validate.drift_measure import DriftMeasure
from pipeline.validate.stop_conditions import require_no_drift
from tests.support.checked_pairs import Found, acting, batch_of, changed, pair, questions


def profiled(pairs: list[Pair], *, labels: bool = True) -> tuple[dict[str, Any], Counter[str]]:
    """The profile of pairs and all their words."""
    found = Found(pairs, labels=labels)
    words = word_counts([batch_of(pairs).filter(pa.array(training_rows(found.judged)))])
    return training_profile(found.judged, words, labels=labels), words


def champion(profile: dict[str, Any]) -> Champion:
    return Champion(Path("adapter"), {"profile": profile})


def test_a_profile_counts_the_training_rows_that_are_kept() -> None:
    """Labels, lengths and words; neither held-out rows nor rows set aside."""
    pairs = [*questions(3, split="train"), pair("held out", split="test"), pair("bad \x07", split="train")]
    profile, words = profiled(pairs)
    assert profile == {
        "rows": 3, "labels": {"yes": 2, "no": 1}, "prompt_chars": {"up to 16": 3},
        "completion_chars": {"up to 4": 2, "up to 2": 1}, "words": {"question": 3, "0": 1, "1": 1, "2": 1},
        "other_words": 0,
    }  # fmt: skip
    assert words.total() == 6
    assert profiled(pairs, labels=False)[0]["labels"] == {}


def test_words_are_letters_and_digits_of_any_script() -> None:
    """Case and marks do not count."""
    assert word_counts([batch_of([pair("Ça va, ça VA? Привет, 42!")])]) == {"ça": 2, "va": 2, "привет": 1, "42": 1}
    assert word_counts([batch_of([pair("?!")])]) == {}


def test_words_that_are_no_longer_common_are_compared_too() -> None:
    """Of a profile only the most frequent are kept, but those of now are all counted."""
    before = {"labels": {}, "prompt_chars": {"up to 2": 1}, "completion_chars": {"up to 2": 1},
              "words": {"card": 90, "pin": 10}, "other_words": 0}  # fmt: skip
    now = {**before, "words": {"card": 9000}, "other_words": 1000}
    assert [found.what for found in measure_drifts(before, now, Counter(card=9000, pin=1000))] == [
        "prompt lengths", "completion lengths", "words",
    ]  # fmt: skip
    assert measure_drifts(before, now, Counter(card=9000, pin=1000))[-1].distance == pytest.approx(0)
    assert measure_drifts(before, now, Counter(card=9000, fee=1000))[-1].distance == pytest.approx(0.1)


def test_rows_like_the_champions_have_not_moved_and_others_have() -> None:
    """Great Expectations holds each distance against the limit."""
    profile, words = profiled(questions(200))
    still = drift_from_champion(champion(profile), profile, words, changed(max_drift=0.1))
    assert [item.what for item in still.compared] == ["labels", "prompt lengths", "completion lengths", "words"]
    assert still.broken == []
    others = [pair(f"where is my parcel {n}", "lost") for n in range(200)]
    moved = drift_from_champion(champion(profile), *profiled(others), changed(max_drift=0.1))
    assert {"labels", "words"} <= {item.what for item in moved.broken}
    assert moved.summary()["compared"][0]["broken"] is True
    assert drift_from_champion(champion(profile), *profiled(others), changed(max_drift=1)).broken == []


def test_without_a_champion_or_if_nobody_asks_nothing_is_compared() -> None:
    """And the report says so by an empty list."""
    profile, words = profiled(questions(40))
    assert drift_from_champion(None, profile, words, changed()).summary() == {"action": "off", "compared": []}
    assert drift_from_champion(champion(profile), profile, words, acting(drift="off")).compared == ()


def test_drift_stops_a_run_only_if_params_say_so() -> None:
    """The line names what has moved."""
    drift = DriftMeasure("labels", 0.5, 0.0, ("lost", 0.1, 0.6))
    require_no_drift(DriftFindings([drift], [drift], "warn"))
    require_no_drift(DriftFindings([drift], [], "error"))
    with pytest.raises(UserError) as caught:
        require_no_drift(DriftFindings([drift], [drift], "error"))
    assert str(caught.value) == (
        "validate.checks.drift: the training rows are not what the champion learnt from; got labels by 0.50 (above all "
        "'lost', from 10.0% to 60.0%); look whether the source still is what it was, or set it to warn"
    )
