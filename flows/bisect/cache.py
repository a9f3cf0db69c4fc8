"""Cache of measured commits, so that no finished evaluation is repeated."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pipeline
from flows.paths import state_dir, write_json_atomic
from pipeline.errors import UserError
from pipeline.hashing import file_sha256

MEASUREMENTS_FILE = "measured.json"
METRIC_CODE = Path(pipeline.__file__).with_name("metric_lookup.py")


@dataclass(frozen=True)
class Measurement:
    """A number of a commit's model, and of what it is.

    Args:
        value: The number.
        n: How many rows it is of.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
        rows: How many test rows the evaluation had.
        tests: SHA-256 of which rows they were.
        outputs: MD5 of what the stages left, by path, as dvc.lock has it.
    """

    value: float
    n: int
    low: float
    high: float
    rows: int
    tests: str
    outputs: Mapping[str, str]


def cached_measurement(root: Path, commit: str, metric: str) -> Measurement | None:
    """Give what was measured of a commit; None if it was not, or is measured otherwise now."""
    measurement = read_measurements(root).get(measurement_key(commit, metric))
    return None if measurement is None else Measurement(**measurement)


def cache_measurement(root: Path, commit: str, metric: str, measured: Measurement) -> None:
    """Note what was measured of a commit, whole or not at all."""
    measurements = read_measurements(root) | {measurement_key(commit, metric): asdict(measured)}
    write_json_atomic(state_dir(root) / MEASUREMENTS_FILE, measurements)


def measurement_key(commit: str, metric: str) -> str:
    """Name a number: of which commit, by what name, and by which code."""
    return f"{commit} {metric} {file_sha256(METRIC_CODE)[:16]}"


def read_measurements(root: Path) -> dict[str, Any]:
    """Read all that was measured.

    Raises:
        UserError: If the file is not what was written.
    """
    path = state_dir(root) / MEASUREMENTS_FILE
    try:
        measurements: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(str(path), "not what was written there", got=str(error), do="remove it") from error
    return measurements
