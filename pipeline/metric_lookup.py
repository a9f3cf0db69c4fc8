"""One number of an evaluation by its name: any of metrics.json, or F1, precision or recall of a single label.

Reads metrics.json and predictions.parquet and writes one file of JSON. Asked for by `tunesmith bisect`; belongs to no
stage.
"""

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.arms import FINETUNED
from pipeline.arrays import Floats, Indices
from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.metrics.metric import Metric, bootstrap_metric, proportion

F1_RESAMPLES, F1_SEED = 2000, 0
"""Of the interval of F1, which is only shown: the same for every commit, whatever its params say."""
LABEL_METRIC = re.compile(r"(f1|precision|recall)\[(.+)\]", re.DOTALL)


def lookup_metric(metrics: Mapping[str, Any], answers: Mapping[str, Sequence[str]], name: str) -> Metric:
    """Give a number of the fine-tuned model.

    Args:
        metrics: What metrics.json holds.
        answers: What was `expected` of each test row, and what was answered (`fine-tuned`).
        name: A measure of metrics.json, or one of `f1[LABEL]`, `precision[LABEL]`, `recall[LABEL]`.

    Raises:
        UserError: If there is no such measure or label, or no row that the number could be of; it lists what there is.
    """
    known = metrics["arms"][FINETUNED]
    if name in known:
        return Metric(**known[name])
    asked = LABEL_METRIC.fullmatch(name)
    expected, got = answers["expected"], answers[FINETUNED]
    labels = sorted({*expected, *got}) if metrics["task"] == "labels" else []
    if asked is None or not labels:
        more = ", or f1[LABEL], precision[LABEL], recall[LABEL]" if labels else ""
        raise UserError(name, "no such metric", expected=f"one of {', '.join(sorted(known))}{more}")
    kind, label = asked.groups()
    if label not in labels:
        raise UserError(
            name, "no test row has this label or was answered with it", expected=f"one of {', '.join(labels)}"
        )
    truth, predicted = (np.array([text == label for text in texts]) for texts in (expected, got))
    return label_metric(kind, truth, predicted, name)


def label_metric(kind: str, truth: NDArray[np.bool_], predicted: NDArray[np.bool_], name: str) -> Metric:
    """Give F1, precision or recall of one label; n is the rows that the number is of.

    F1 looks at no other rows than those that have the label or were answered with it, so its interval draws from
    these alone (Efron 1979).

    Args:
        kind: Which of the three.
        truth: Whether each row has the label.
        predicted: Whether each row was answered with it.
        name: What to call the number in an error.
    """
    rows = {"f1": truth | predicted, "precision": predicted, "recall": truth}[kind]
    if not rows.any():
        raise UserError(
            name, "a number of no rows", got="none was answered with it" if truth.any() else "no row has it"
        )
    hits = (truth & predicted)[rows]
    if kind != "f1":
        return proportion(hits.tolist())
    counted = truth[rows].astype(int) + predicted[rows]

    def f1(drawn: Indices) -> Floats:
        return np.asarray(2 * hits[drawn].sum(axis=1) / counted[drawn].sum(axis=1))

    return bootstrap_metric(f1, len(hits), F1_RESAMPLES, F1_SEED)


def row_set_digest(ids: Sequence[str]) -> str:
    """SHA-256 of a set of test rows, in whatever order they are."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def main(metrics: str, answers: str, name: str, out: str) -> None:
    """Write a number, of how many test rows the evaluation was, and which they were."""
    table = pq.read_table(answers, columns=["id", "expected", FINETUNED]).to_pydict()
    try:
        metric = lookup_metric(read_json(Path(metrics)), table, name)
    except UserError as problem:
        sys.exit(f"error: {problem}")
    write_json(Path(out), asdict(metric) | {"rows": len(table["id"]), "tests": row_set_digest(table["id"])})


if __name__ == "__main__":
    main(*sys.argv[1:])
