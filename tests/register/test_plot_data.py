"""Laws of what `dvc plots` draws: every number is that of its file, and DVC itself draws each plot of dvc.yaml."""

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.params import read_yaml
from pipeline.register.plot_data import write_plot_data
from tests.support.paths import PROJECT

HISTORY = [
    {"epoch": 0.5, "step": 2, "train_grad_norm": 5.0, "train_loss": 7.52692985534668},
    {"epoch": 1.0, "step": 4, "train_loss": 6.25},
    {"epoch": 1.0, "step": 4, "validation_loss": 0.47979761246711977},
]
ARMS = [
    {"arm": "fine-tuned", "value": 0.75, "low": 0.62, "high": 0.84, "n": 59, "word": "fine-tuned"},
    {"arm": "tfidf, with a comma", "value": 1 / 3, "low": 0.2, "high": 0.4, "n": 59, "word": "beaten"},
]
CONFUSION = {'a "quoted" label': {'a "quoted" label': 2, "b,c": 1}, "b,c": {"b,c": 3}}


def write(root: Path, confusion: dict[str, Any] | None = None) -> Path:
    """Write the plots' data of a small run below a project's root."""
    history = root / "history.jsonl"
    history.write_text("".join(json.dumps(point) + "\n" for point in HISTORY), encoding="utf-8")
    details = {"confusion": confusion} if confusion else {}
    files = {"register/release.json": {"worth": {"table": ARMS}}, "evaluate/details.json": {"fine-tuned": details}}
    (root / "data/register").mkdir(parents=True)
    write_plot_data(root / "data/register/plots", history, files)
    return root / "data/register/plots"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_number_is_that_of_its_file(tmp_path: Path) -> None:
    """Losses by step, arms with their intervals, and a row for each test row; all digits, whatever a name holds."""
    plots = write(tmp_path, CONFUSION)
    assert [(int(row["step"]), float(row["loss"])) for row in rows_of(plots / "train_loss.csv")] == [
        (2, 7.52692985534668), (4, 6.25),
    ]  # fmt: skip
    assert [float(row["loss"]) for row in rows_of(plots / "validation_loss.csv")] == [0.47979761246711977]
    arms = {
        row.pop("arm"): {name: float(number) for name, number in row.items()} for row in rows_of(plots / "arms.csv")
    }
    assert arms == {arm["arm"]: {name: arm[name] for name in ("value", "low", "high", "n")} for arm in ARMS}
    counts = Counter((row["expected"], row["predicted"]) for row in rows_of(plots / "confusion.csv"))
    assert counts == {(wanted, got): n for wanted, row in CONFUSION.items() for got, n in row.items()}


def dvc(root: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=root, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("confusion", [CONFUSION, None], ids=["labels", "texts"])
def test_dvc_draws_the_plots_of_dvc_yaml(confusion: dict[str, Any] | None, tmp_path: Path) -> None:
    """With the project's own `plots:` and template; where a task has no labels, there is no confusion matrix."""
    plots = write(tmp_path, confusion)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True, timeout=30)
    dvc(tmp_path, "init", "-q")
    shutil.copytree(PROJECT / ".dvc/plots", tmp_path / ".dvc/plots")
    YAML().dump({"plots": read_yaml(PROJECT / "dvc.yaml")["plots"]}, tmp_path / "dvc.yaml")
    shown = json.loads(dvc(tmp_path, "plots", "show", "--json"))
    assert shown.get("errors", []) == []
    drawn = {name.removeprefix("dvc.yaml::"): plot[0]["content"] for name, plot in shown["data"].items() if plot}
    arms = next(content for name, content in drawn.items() if name.endswith("arms.csv"))
    assert [(row["arm"], float(row["low"])) for row in arms["data"]["values"]] == [(a["arm"], a["low"]) for a in ARMS]
    assert "DVC_METRIC" not in json.dumps(arms)
    assert "params" not in arms  # Vega refuses a chart of layers whose zoom is not that of one of them
    losses = drawn["losses"]["data"]["values"]
    assert len(losses) == len(rows_of(plots / "train_loss.csv")) + len(rows_of(plots / "validation_loss.csv"))
    confusions = [content for name, content in drawn.items() if name.endswith("confusion.csv")]
    assert [len(content["data"]["values"]) for content in confusions] == ([6] if confusion else [])


def test_dvc_compares_two_commits_by_what_dvc_yaml_declares(tmp_path: Path) -> None:
    """`dvc metrics diff`, `dvc params diff` and `dvc plots diff` show both commits, with the numbers of the files."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True, timeout=30)
    dvc(tmp_path, "init", "-q")
    shutil.copytree(PROJECT / ".dvc/plots", tmp_path / ".dvc/plots")
    declared = read_yaml(PROJECT / "dvc.yaml")
    metrics = [path for stage in declared["stages"].values() for path in stage.get("metrics", [])]
    YAML().dump(
        {"plots": declared["plots"], "metrics": metrics, "params": ["params.yaml"]}, tmp_path / "dvc.yaml"
    )  # fmt: skip
    write(tmp_path, CONFUSION)
    for epochs, value in ((2, 0.5), (3, 0.75)):
        (tmp_path / "params.yaml").write_text(f"finetune:\n  epochs: {epochs}\n", encoding="utf-8")
        for path in metrics:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(json.dumps({"arms": {"tfidf": {"accuracy": {"value": value}}}}))
        subprocess.run([*git, "add", "--all"], cwd=tmp_path, check=True, timeout=30)
        subprocess.run([*git, "commit", "-qm", f"{epochs} epochs"], cwd=tmp_path, check=True, timeout=30)
    numbers = json.loads(dvc(tmp_path, "metrics", "diff", "HEAD~1", "HEAD", "--json"))
    assert numbers["data/evaluate/metrics.json"]["arms.tfidf.accuracy.value"] == {"old": 0.5, "new": 0.75, "diff": 0.25}
    params = json.loads(dvc(tmp_path, "params", "diff", "HEAD~1", "HEAD", "--json"))
    assert params["params.yaml"]["finetune.epochs"] == {"old": 2, "new": 3, "diff": 1}
    plots = json.loads(dvc(tmp_path, "plots", "diff", "HEAD~1", "HEAD", "--json"))
    assert all(set(plot["revisions"]) == {"HEAD~1", "HEAD"} for shown in plots["data"].values() for plot in shown)
    assert len(plots["data"]) == 3
