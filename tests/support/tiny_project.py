"""A copy of this project with sixty rows of its own and the tiny model, in which the command is run whole."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.repositories import PROJECT, apart, git
from tests.support.sources import PLAIN

NAME = "colours"
COLOURS = {"sky": "blue", "sea": "blue", "lake": "blue", "ice": "blue", "grass": "green", "rose": "red"}
"""Mostly blue: the tiny model learns only that, and so is significantly better than its base, which says green."""
SMALL: dict[str, dict[str, Any]] = {
    "model": {"sha256": None, "threads": 1},
    "prompt": {"task": "labels", "system": "Name the colour."},
    "ingest": {"folder": "data/raw"},
    "validate": {"near_duplicate_similarity": 1.0},
    "baselines": {"enabled": ["zero_shot"], "latency_rows": 1},
    "finetune": {"rank": 4, "alpha": 8, "epochs": 2, "batch_size": 4, "learning_rate": 0.03},
    "evaluate": {"batch_size": 8, "max_new_tokens": 8, "bootstrap_resamples": 200, "rules": []},
    "register": {"name": NAME, "metric": "accuracy", "min_gain": 0.0},
}
SOURCE = {**PLAIN, "path": "colours.jsonl"}


@dataclass(frozen=True)
class Checkout:
    """A copy of this project with data of its own, and the environment that its commands run in."""

    root: Path
    environment: dict[str, str]

    def call(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a Python module in it."""
        words = [sys.executable, *command]
        return subprocess.run(
            words, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )  # fmt: skip

    def tunesmith(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the command."""
        return self.call("-m", "flows.cli", *words)

    def change(self, **replaced: Any) -> None:
        """Replace values in params.yaml, each named `section__field`."""
        path, yaml = self.root / "params.yaml", YAML()
        values = yaml.load(path.read_text(encoding="utf-8"))
        for name, value in replaced.items():
            section, field = name.split("__")
            values[section][field] = value
        with path.open("w", encoding="utf-8") as out:
            yaml.dump(values, out)


def make_project(place: Path, base: Path) -> Checkout:
    """This project as git knows it, its first commit made, sixty rows tracked by DVC, the tiny model in params.yaml."""
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    made = Checkout(place / "project", apart(place) | offline)
    for name in git(PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if (PROJECT / name).is_file() and name != "dvc.lock" and not name.startswith("data/raw"):
            (made.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, made.root / name)
    raw = made.root / "data" / "raw"
    raw.mkdir()
    rows = [
        {"prompt": f"what colour is the {thing} on day {day}?", "completion": colour}
        for day in range(10)
        for thing, colour in COLOURS.items()
    ]
    (raw / "colours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for section, values in SMALL.items():
        made.change(**{f"{section}__{field}": value for field, value in values.items()})
    made.change(model__source=str(base), ingest__sources=[SOURCE])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        git(made.root, "init", "--quiet", "--initial-branch=main")
        assert made.call("-m", "dvc", "add", "--quiet", "data/raw").returncode == 0
        git(made.root, "add", "--all")
        git(made.root, "commit", "--quiet", "-m", "first")
    return made
