"""What was measured of commits, on disk, so that no evaluation that came to its end is made again."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pipeline
from flows.paths import private
from pipeline.errors import Problem
from pipeline.hashing import file_sha256

MEMORY = "measured.json"
MEASURE = Path(pipeline.__file__).with_name("metric_lookup.py")


@dataclass(frozen=True)
class Measured:
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


def recall(root: Path, commit: str, metric: str) -> Measured | None:
    """Give what was measured of a commit; None if it was not, or is measured otherwise now."""
    found = read(root).get(key(commit, metric))
    return None if found is None else Measured(**found)


def keep(root: Path, commit: str, metric: str, measured: Measured) -> None:
    """Note what was measured of a commit, whole or not at all."""
    part = private(root) / f"{MEMORY}.part"
    with part.open("w", encoding="utf-8") as out:
        json.dump(read(root) | {key(commit, metric): asdict(measured)}, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    part.rename(private(root) / MEMORY)


def key(commit: str, metric: str) -> str:
    """Name a number: of which commit, by what name, and by which code."""
    return f"{commit} {metric} {file_sha256(MEASURE)[:16]}"


def read(root: Path) -> dict[str, Any]:
    """Read all that was measured.

    Raises:
        Problem: If the file is not what was written.
    """
    path = private(root) / MEMORY
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Problem(str(path), "not what was written there", got=str(error), do="remove it") from error
    return found
