"""A project whose model is made in no time: it answers with the label that most rows of the same first word have."""

import json
import subprocess
import sys
from pathlib import Path

from flows.bisect.bisect import run_bisect
from tests.support.repositories import git, make_checkout, params_of_one_file

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
from pipeline.files import write_json
from pipeline.pairs import Message, Pair, read_pairs, write_pairs

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
    learns = json.loads(Path("params.yaml").read_text())["finetune"]["learning_rate"] < 0.1
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
RAW = "data/raw/a.jsonl"
FILES = {
    "dvc.yaml": DVC_YAML, "params.yaml": params_of_one_file("a.jsonl"), "model.py": MODEL,
    "data/champion/README.md": "none\n", "README.md": "read me\n",
    ".gitignore": "/data/ingest/\n/data/evaluate/\n/data/champion/*.json\n/.tunesmith/\n__pycache__/\n",
}  # fmt: skip


def rows_of(added: int, *, wrong: bool = False, empty: bool = False) -> str:
    """Rows of each label, and some more; most refunds are perhaps labelled as something else, or a label is lacking."""
    rows = [{"prompt": f"{word} matters {n}", "completion": label} for word, label in LABELS.items() for n in range(6)]
    rows += [{"prompt": f"parcel lost {n}", "completion": "delivery"} for n in range(added)]
    for row in rows[:4] if wrong else []:
        row["completion"] = "other"
    if empty:
        rows[-1]["completion"] = ""
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def make_worsened(root: Path) -> Path:
    """Make the project; its first commit is good, and on it stands one that has the dvc.lock of its run."""
    make_checkout(root, FILES | {RAW: rows_of(0)})
    evaluated(root)
    commit(root, "a run", {})
    return root


def evaluated(root: Path) -> None:
    """Bring the stages up to evaluate up to date in the checkout, as a run does."""
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", "evaluate"], cwd=root, check=True)


def commit(root: Path, subject: str, files: dict[str, str]) -> str:
    """Write files and commit them with whatever else changed."""
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "-m", subject)
    return git(root, "rev-parse", "HEAD")


def branch(root: Path, name: str) -> None:
    """Begin a line of commits at the first run."""
    git(root, "checkout", "--quiet", "-B", name, "main")


def asked(
    root: Path, bad: str, good: str = "main", *, metric: str = "f1[refund]", limit: float | None = None
) -> list[str]:
    """What a bisect says."""
    said: list[str] = []
    run_bisect(root, good, bad, metric, limit, said.append)
    return said


def made(said: list[str]) -> int:
    """How many evaluations it says that it made."""
    return int(said[-1].removeprefix("evaluations: ").partition(";")[0].split()[0])


def culprit(said: list[str]) -> str:
    """The commit that it says it is."""
    (line,) = [line for line in said if line.startswith("first bad commit: ")]
    return line.removeprefix("first bad commit: ")
