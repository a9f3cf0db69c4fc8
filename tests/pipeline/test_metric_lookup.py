"""Laws of a number by its name: what metrics.json has, and the numbers of one label as scikit-learn has them."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.metric_lookup import lookup_metric, row_set_digest
from tests.support.repositories import PROJECT

RANDOM = random.Random(7)
EXPECTED = [RANDOM.choice("aabbc") for _ in range(60)]
GOT = [RANDOM.choice((want, want, "a", "b", "d")) for want in EXPECTED]
METRICS: dict[str, Any] = {
    "task": "labels",
    "arms": {"zero_shot": {}, "fine-tuned": {"accuracy": {"value": 0.5, "n": 60, "low": 0.4, "high": 0.6}}},
}
ANSWERS = {"expected": EXPECTED, "fine-tuned": GOT}


def test_what_evaluate_summed_up_is_taken_as_it_is() -> None:
    """Of the fine-tuned model, with n and interval."""
    found = lookup_metric(METRICS, ANSWERS, "accuracy")
    assert (found.value, found.n, found.low, found.high) == (0.5, 60, 0.4, 0.6)


@pytest.mark.parametrize("label", ["a", "b", "c", "d"])
@pytest.mark.parametrize(
    ("kind", "reference"), [("f1", f1_score), ("precision", precision_score), ("recall", recall_score)]
)
def test_the_numbers_of_a_label_are_those_of_scikit_learn(kind: str, reference: Any, label: str) -> None:
    """Within an interval, of the rows that they are of; where there are none, there is no number."""
    rows = {
        "f1": sum(label in both for both in zip(EXPECTED, GOT, strict=True)),
        "precision": GOT.count(label), "recall": EXPECTED.count(label),
    }[kind]  # fmt: skip
    if not rows:
        with pytest.raises(UserError, match=rf"^{kind}\[{label}\]: a number of no rows; got no"):
            lookup_metric(METRICS, ANSWERS, f"{kind}[{label}]")
        return
    found = lookup_metric(METRICS, ANSWERS, f"{kind}[{label}]")
    assert found.value == pytest.approx(reference(EXPECTED, GOT, labels=[label], average=None)[0])
    assert found.n == rows
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(
    ("task", "name", "error"),
    [
        ("labels", "f1[e]", "f1[e]: no test row has this label or was answered with it; expected one of a, b, c, d"),
        ("labels", "f2",
         "f2: no such metric; expected one of accuracy, or f1[LABEL], precision[LABEL], recall[LABEL]"),
        ("text", "f1[a]", "f1[a]: no such metric; expected one of accuracy"),
    ],
)  # fmt: skip
def test_a_name_of_nothing_is_a_problem_that_lists_what_there_is(task: str, name: str, error: str) -> None:
    """Labels only where answers are labels."""
    with pytest.raises(UserError) as caught:
        lookup_metric(METRICS | {"task": task}, ANSWERS, name)
    assert str(caught.value) == error


def test_the_same_test_rows_have_the_same_digest() -> None:
    """In any order; one row more, and it is another."""
    assert row_set_digest(["a", "b"]) == row_set_digest(["b", "a"]) != row_set_digest(["a", "b", "c"])


def called(folder: Path, name: str) -> "subprocess.CompletedProcess[str]":
    """Ask the module as a process, in a project."""
    write_json(folder / "metrics.json", METRICS)
    table = {"id": [str(row) for row in range(60)], **ANSWERS}
    pq.write_table(pa.table(table), folder / "answers.parquet")
    words = [
        sys.executable,
        "-m",
        "pipeline.metric_lookup",
        *(str(folder / f) for f in ("metrics.json", "answers.parquet")),
    ]
    return subprocess.run(
        [*words, name, str(folder / "out.json")], cwd=PROJECT, check=False, capture_output=True, text=True
    )


def test_the_module_writes_the_number_and_which_rows_were_tested(tmp_path: Path) -> None:
    """Or one line on what is wrong."""
    assert called(tmp_path, "recall[a]").returncode == 0
    found = read_json(tmp_path / "out.json")
    assert found["value"] == pytest.approx(recall_score(EXPECTED, GOT, labels=["a"], average=None)[0])
    assert (found["rows"], found["tests"]) == (60, row_set_digest([str(row) for row in range(60)]))
    failed = called(tmp_path, "f2")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: f2: no such metric; ")
    assert failed.stderr.count("\n") == 1
