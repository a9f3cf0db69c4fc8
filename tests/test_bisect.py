"""Laws of a bisect: the commit that is found, how few evaluations that takes, and what is said of it."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from checkout import apart, git, make_checkout, params_of_one_file

from flows.bisect.course import bisect
from flows.bisect.inputs import inputs_of
from flows.bisect.search import search
from flows.repro import dvc
from flows.snapshot import snapshot
from pipeline.problem import Problem

LABELS = {"money": "refund", "parcel": "delivery", "login": "account", "hello": "other"}
DVC_YAML = """
stages:
  ingest:
    cmd: python model.py ingest
    deps: ["${ingest.folder}", model.py]
    params: [ingest]
    outs: [data/ingest/pairs.parquet]
  evaluate:
    cmd: python model.py evaluate
    deps: [data/ingest/pairs.parquet, data/champion, model.py]
    params: [finetune]
    outs: [data/evaluate/predictions.parquet]
    metrics: [data/evaluate/metrics.json]
  register:
    cmd: "false"
    deps: [data/evaluate/metrics.json]
"""
MODEL = '''
"""A model that answers with the label that most rows of the same first word have."""
import json, os, sys
from collections import Counter
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
from pipeline.pairs import Message, Pair, read_pairs, write_json, write_pairs

LABELS = {"money": "refund", "parcel": "delivery", "login": "account", "hello": "other"}

def ingest():
    rows = [json.loads(line) for line in Path("data/raw/a.jsonl").read_text().splitlines()]
    if any(row["completion"] == "" for row in rows):
        with open(os.environ["TUNESMITH_JOURNAL"], "a") as journal:
            journal.write(json.dumps({"event": "problem", "line": "a.jsonl: a completion is empty"}) + "\\n")
        sys.exit(1)
    write_pairs(Path("data/ingest/pairs.parquet"), [
        Pair((Message("user", row["prompt"]),), row["completion"], "a.jsonl", n, "train", b"{}")
        for n, row in enumerate(rows, 1)
    ])

def evaluate():
    learns = json.loads(Path("params.yaml").read_text())["finetune"]["learning_rate"] < 1
    said = {word: Counter() for word in LABELS}
    for pair in read_pairs(Path("data/ingest/pairs.parquet")):
        said[pair.prompt.split()[0]][pair.completion] += 1
    tested = [(word, f"{word} held out {n}") for word in LABELS for n in range(5)]
    expected = [LABELS[word] for word, _ in tested]
    got = [said[word].most_common(1)[0][0] if learns else "other" for word, _ in tested]
    right = sum(a == b for a, b in zip(expected, got))
    accuracy = {"value": right / len(tested), "n": len(tested), "low": 0.0, "high": 1.0}
    pq.write_table(pa.table({
        "id": [text for _, text in tested], "prompt": [text for _, text in tested], "expected": expected,
        "fine-tuned": got,
    }), "data/evaluate/predictions.parquet")
    write_json(Path("data/evaluate/metrics.json"), {"task": "labels", "arms": {"fine-tuned": {"accuracy": accuracy}}})

if __name__ == "__main__":
    Path(f"data/{sys.argv[1]}").mkdir(parents=True, exist_ok=True)
    with open(os.environ.get("TUNESMITH_JOURNAL", os.devnull), "a") as journal:
        journal.write(json.dumps({"event": "start"}) + "\\n")
    {"ingest": ingest, "evaluate": evaluate}[sys.argv[1]]()
'''


class Looked:
    """Steps that are good up to one, and what was looked at of them."""

    def __init__(self, first_bad: int, dumb: Sequence[int] = ()) -> None:
        self.first_bad, self.dumb, self.at = first_bad, dumb, list[int]()

    def __call__(self, step: int) -> bool | None:
        self.at.append(step)
        return None if step in self.dumb else step >= self.first_bad


@pytest.mark.parametrize("size", range(2, 41))
def test_every_step_is_found_by_halving(size: int) -> None:
    """In no more looks than the logarithm, none of them at an end or a second time."""
    for first_bad in range(1, size):
        looked = Looked(first_bad)
        assert search(size, looked) == (first_bad - 1, first_bad)
        assert len(looked.at) <= math.ceil(math.log2(size - 1))
        assert len(set(looked.at)) == len(looked.at)
        assert {0, size - 1}.isdisjoint(looked.at)


@pytest.mark.parametrize("size", [2, 3, 7, 12, 13])
def test_steps_of_which_nothing_can_be_said_make_a_range(size: int) -> None:
    """The range is as narrow as the others allow, whichever they are, and each costs one look at most."""
    for dumb in ([step for step in range(1, size - 1) if bits >> step & 1] for bits in range(0, 2**size, 6)):
        for first_bad in range(1, size):
            looked = Looked(first_bad, dumb)
            good, bad = search(size, looked)
            told = [step for step in range(size) if step not in dumb]
            assert good == max(step for step in told if step < first_bad)
            assert bad == min(step for step in told if step >= first_bad)
            assert len(looked.at) <= math.ceil(math.log2(size - 1)) + len(dumb)


def test_what_costs_nothing_is_looked_at_first() -> None:
    """The others are looked at only between two of those."""
    looked = Looked(9)
    assert search(40, looked, cheap={8, 20, 30}) == (8, 9)
    costly = [step for step in looked.at if step not in {8, 20, 30}]
    assert all(8 < step < 20 for step in costly)
    assert len(costly) <= math.ceil(math.log2(12))


def rows_of(added: int, *, wrong: bool = False) -> str:
    """Rows of each label, and some more; the refunds are perhaps labelled as something else."""
    rows = [{"prompt": f"{word} matters {n}", "completion": label} for word, label in LABELS.items() for n in range(6)]
    rows += [{"prompt": f"parcel lost {n}", "completion": "delivery"} for n in range(added)]
    for row in rows[:4] if wrong else []:
        row["completion"] = "other"
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def commit(root: Path, subject: str, **files: str) -> str:
    """Write files and commit them."""
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", subject)
    return git(root, "rev-parse", "HEAD")


RAW = "data/raw/a.jsonl"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose model is made in no time; its first commit is good, with a run whose lock file is committed."""
    place = tmp_path_factory.mktemp("bisect")
    files = {
        "dvc.yaml": DVC_YAML, "params.yaml": params_of_one_file("a.jsonl"), "model.py": MODEL, RAW: rows_of(0),
        "data/champion/README.md": "none\n", "README.md": "read me\n",
        ".gitignore": "/data/ingest/\n/data/evaluate/\n/.tunesmith/\n__pycache__/\n",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        path = f"{Path(sys.executable).parent}:{apart(place)['PATH']}"
        for name, value in (apart(place) | {"PATH": path}).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", files)
        dvc(root, "repro", "--quiet", "evaluate")
        commit(root, "a run")
        yield root


def branch(root: Path, name: str) -> None:
    """Begin a line of commits at the first run."""
    git(root, "checkout", "--quiet", "-B", name, "main")


def asked(root: Path, good: str, bad: str, metric: str = "f1[refund]", limit: float | None = None) -> list[str]:
    """What a bisect says."""
    said: list[str] = []
    bisect(root, good, bad, metric, limit, said.append)
    return said


@pytest.mark.slow
def test_first(project: Path) -> None:
    branch(project, "x")
    commits = [commit(project, f"rows {n}", **{RAW: rows_of(n, wrong=n >= 7)}) for n in range(1, 12)]
    said = asked(project, "main", "x")
    print("\n".join(said))
    said = asked(project, "main", "x")
    print("\n".join(said))
    raise AssertionError
