"""Laws of the forecast: it counts what there is, measures what it says, warns of what will not fit, keeps nothing."""

import re
import shutil
from pathlib import Path

import pytest

from pipeline.estimate import run as room
from pipeline.estimate.run import StepMeasurements, estimate_run, extrapolate_memory, format_bytes, format_duration
from pipeline.hashing import file_digests
from tests.support.tiny_params import finished, tiny_params

pytestmark = pytest.mark.usefixtures("imported_is_no_garbage")


def test_the_forecast_counts_measures_and_keeps_nothing(base: Path, tmp_path: Path) -> None:
    """Each line has its numbers, those that are known beforehand are right, and no file is written or changed."""
    params, data = finished(base)
    shutil.copytree(data, tmp_path / "data")
    before = file_digests(tmp_path)
    told = dict(line.split(maxsplit=1) for line in estimate_run(params, tmp_path / "data"))
    assert list(told) == ["rows", "tokens", "computed", "steps", "training", "answers", "memory", "disk"]
    assert re.fullmatch(r"\d+ to train on, \d+ to validate on, \d+ to answer", told["rows"])
    train, validation, test = (int(number) for number in re.findall(r"\d+", told["rows"]))
    assert train + validation + test == 60
    assert told["steps"] == f"{-(-train // 4)} an epoch, {2 * -(-train // 4)} in all"
    assert " 0.0% of them padding" in told["computed"]
    assert file_digests(tmp_path) == before


def test_what_will_not_fit_is_a_warning(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little memory: the longest step is not tried, and the line says what to lower."""
    params, data = finished(base)
    monkeypatch.setattr(room, "free_memory", lambda: 1)
    lines = estimate_run(params, data)
    assert "guessed" in next(line for line in lines if line.startswith("memory"))
    assert re.fullmatch(
        r"warning: finetune\.micro_batch_tokens: training needs too much memory; expected at most 0 MiB, got .*; "
        r"lower it, or set finetune\.activation_checkpointing to true",
        lines[-1],
    )


def test_a_full_disk_is_a_warning() -> None:
    """Checkpoints that do not fit are named with what they need."""
    assert room.resource_warnings(1, 2, 3 * 2**30, 2**20) == [
        "warning: the disk: checkpoints need 3.0 GiB, 1 MiB are free; make room"
    ]
    assert room.resource_warnings(1, 2, 1, 2) == []


def test_a_long_training_is_told_that_compiling_pays(base: Path) -> None:
    """Where it is not set already, and where there is time to win."""
    usual, compiled = (tiny_params(base, **{"finetune.compile": on}).finetune for on in (False, True))
    (hint,) = room.speed_hints(3600, usual)
    assert hint.startswith("hint: finetune.compile: true makes")
    assert room.speed_hints(600, usual) == room.speed_hints(3600, compiled) == []


def test_time_grows_with_the_tokens() -> None:
    """Steps on a straight line are continued on it; where they scatter, the estimate has two ends with all between."""
    straight = StepMeasurements(0.0, [(100, 2.0), (200, 3.0), (300, 4.0)], 0, tried=True)
    assert straight.seconds([100, 250, 400]) == pytest.approx((10.5, 10.5))
    low, high = StepMeasurements(0.0, [(100, 2.0), (200, 3.5), (300, 4.0)], 0, tried=True).seconds([100, 200, 300])
    assert low < 9.5 < high
    assert StepMeasurements(0.0, [(100, 2.0)], 0, tried=True).seconds([100, 300]) == pytest.approx((8.0, 8.0))


def test_memory_is_guessed_from_shorter_passes() -> None:
    """On a straight line through the shortest and the longest; from one alone it is taken to stay."""
    assert extrapolate_memory([], 100) == 0
    assert extrapolate_memory([(100, 50)], 400) == 50
    assert extrapolate_memory([(100, 50), (200, 70)], 400) == 110


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (119, "119 s"), (150, "2 min"), (7199, "120 min"), (7200, "2.0 h"), (90_000, "25 h")],
)
def test_seconds_are_put_into_words(seconds: float, words: str) -> None:
    """Two digits or so, in the unit that people use."""
    assert format_duration(seconds) == words


@pytest.mark.parametrize(("byte", "words"), [(2**20, "1 MiB"), (1.5 * 2**30, "1.5 GiB")])
def test_bytes_are_put_into_words(byte: float, words: str) -> None:
    assert format_bytes(byte) == words


def test_two_ends_that_are_as_good_as_equal_are_one_word() -> None:
    """Nobody wants to read that it takes from seven minutes to seven minutes."""
    assert room.format_range(420, 425) == "7 min"
    assert room.format_range(420, 600) == "7 min to 10 min"
