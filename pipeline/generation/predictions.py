"""Answers of the baselines on disk: written by their stage, read by the evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.files import write_table

BASELINE_PREDICTIONS = "answers.parquet"
BASELINE_PREDICTIONS_SCHEMA = pa.schema(
    [
        ("baseline", pa.string()),
        ("id", pa.string()),
        ("answer", pa.string()),
        ("free", pa.bool_()),
        ("held", pa.bool_()),
        ("tokens_in", pa.int64()),
        ("tokens_out", pa.int64()),
        ("examples", pa.int64()),
        ("probability", pa.float64()),
    ]
)


@dataclass(frozen=True)
class BaselinePrediction:
    """An answer of a baseline, and what it took.

    Args:
        text: The answer.
        free: Whether a language model says it without being held to the labels; None for what has no other answers.
        held: Whether a language model was held to the labels; None for what is none, or cannot be held.
        tokens_in: Tokens that language models read for it; None if nobody told.
        tokens_out: Tokens that one wrote, the end of its turn among them; None if nobody told.
        examples: Examples or passages that it was given; None for what is given none.
        probability: That it gave to a label which it said; None for what gives none.
    """

    text: str
    free: bool | None = None
    held: bool | None = None
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    examples: int | None = None
    probability: float | None = None


def write_baseline_predictions(
    path: Path, ids: Sequence[str], answers: Mapping[str, Sequence[BaselinePrediction]]
) -> None:
    """Write what each baseline answered to each test row; the same answers give the same bytes."""
    rows = [
        {
            "baseline": name, "id": pair_id, "answer": given.text,
            **{field: value for field, value in asdict(given).items() if field != "text"},
        }
        for name, of_baseline in answers.items()
        for pair_id, given in zip(ids, of_baseline, strict=True)
    ]  # fmt: skip
    write_table(path, rows, BASELINE_PREDICTIONS_SCHEMA)


def read_baseline_predictions(path: Path, ids: Sequence[str]) -> dict[str, list[BaselinePrediction]]:
    """Read the answers of each baseline, in the order of the test rows.

    Args:
        path: The file.
        ids: Of the test rows.

    Raises:
        UserError: If a baseline answered other rows than these.
    """
    predictions: dict[str, list[BaselinePrediction]] = {}
    asked: dict[str, list[str]] = {}
    for row in pq.read_table(path).to_pylist():
        name, pair_id, text = row.pop("baseline"), row.pop("id"), row.pop("answer")
        asked.setdefault(name, []).append(pair_id)
        predictions.setdefault(name, []).append(BaselinePrediction(text, **row))
    for name, rows in asked.items():
        if rows != list(ids):
            raise UserError(
                str(path),
                f"the rows that {name} answered are not the test rows",
                expected=f"{len(ids)} rows, in the order of data/tokenize/test.arrow",
                got=f"{len(rows)}, {len(set(rows) & set(ids))} of them test rows",
                do="let the baselines answer anew: `tunesmith run`",
            )
    return predictions
