"""A bisect whole: of a real project on the tiny model, in which a batch of one label was labelled wrongly."""

import json
from pathlib import Path

import pytest

from flows.vcs.dvc_lock import dvc_md5
from tests.support.regressing_project import culprit, made
from tests.support.repositories import git
from tests.support.tiny_project import Checkout, make_project

pytestmark = pytest.mark.slow  # a run of the flow, and three evaluations

RAW = "data/raw/colours.jsonl"
BATCH = ("sky", "sea", "lake")


def committed(checkout: Checkout, subject: str, *names: str) -> str:
    """Commit these files alone; what the run left stays uncommitted."""
    git(checkout.root, "add", *names)
    git(checkout.root, "commit", "--quiet", "-m", subject, "--", *names)
    return git(checkout.root, "rev-parse", "HEAD")


def with_rows(checkout: Checkout, subject: str, rows: list[dict[str, str]]) -> str:
    """Commit other rows."""
    (checkout.root / RAW).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    checkout.call("-m", "dvc", "add", "--quiet", "data/raw").check_returncode()
    return committed(checkout, subject, "data/raw.dvc")


def test_the_commit_that_labelled_a_batch_wrongly_is_found(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are named; what the run recorded is read; checkout, MLflow and champion stay as they are."""
    checkout = make_project(tmp_path, base)
    for name, value in checkout.environment.items():
        monkeypatch.setenv(name, value)
    checkout.tunesmith("run").check_returncode()
    good = git(checkout.root, "rev-parse", "HEAD")
    checkout.change(finetune__learning_rate=0.02)
    committed(checkout, "slower", "params.yaml")
    (checkout.root / "LICENSE").write_text("free\n", encoding="utf-8")
    committed(checkout, "a page", "LICENSE")
    rows = [json.loads(line) for line in (checkout.root / RAW).read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if any(f"the {thing} on" in row["prompt"] for thing in BATCH):
            row["completion"] = "red"
    wrong = with_rows(checkout, "labels from the new agency", rows)
    more = [{"prompt": f"what colour is the moss on day {day}?", "completion": "green"} for day in range(4)]
    bad = with_rows(checkout, "more rows", rows + more)
    kept = [checkout.root / name for name in (".tunesmith/mlflow.db", ".tunesmith/champions", "data", "dvc.lock")]
    before = git(checkout.root, "status", "--porcelain", "--branch"), [dvc_md5(path) for path in kept]
    done = checkout.tunesmith("bisect", "--good", good, "--bad", bad, "--metric", "f1[blue]")
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert said[0] == "commits that change what the model depends on: 3 of 4; evaluations: at most 3"
    assert said[1].endswith("  good  recorded")
    assert culprit(said) == wrong
    assert made(said) == 3
    assert "  data      data/raw changed" in said
    (relabelled,) = [line for line in said if " relabelled: " in line]
    assert relabelled.startswith("  30 relabelled: the same prompt, another completion (")
    assert "    colours.jsonl row 1: 'what colour is the sky on day 0?' | 'blue' -> 'red'" in said
    assert any(line.startswith("  the test rows are not the same: ") for line in said)
    assert (git(checkout.root, "status", "--porcelain", "--branch"), [dvc_md5(path) for path in kept]) == before
