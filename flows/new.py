"""A new repository of this shape round a user's own pairs."""

import csv
import json
import re
import shutil
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.repro import dvc
from flows.snapshot import AUTHOR, git
from pipeline.params import load_params
from pipeline.problem import Problem

TEMPLATE = Path(__file__).resolve().parents[1]
LEFT_OUT = ("dvc.lock",)
FEW_LABELS = 200
SHORT_LABEL = 60


@dataclass(frozen=True)
class Given:
    """What the user gives: files, and the names of the columns if they do not say what they are."""

    pairs: Path
    test: Path | None
    prompt_column: str | None
    completion_column: str | None

    @property
    def files(self) -> list[Path]:
        """The files to take over."""
        return [self.pairs] if self.test is None else [self.pairs, self.test]


def make_project(folder: Path, given: Given) -> list[str]:
    """Make the repository and say what was made and what comes next.

    Raises:
        Problem: If the folder exists, the files do not fit, or this installation is not a checkout to copy from.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Problem(str(folder), "exists already", do="name a folder that is not there yet")
    if len({path.name for path in given.files}) < len(given.files):
        raise Problem(given.pairs.name, "both files have this name", do="rename one")
    if (given.prompt_column is None) != (given.completion_column is None):
        raise Problem("--prompt-column and --completion-column", "only one is given", do="name both, or neither")
    labels = looks_like_labels(sample_completions(given))
    copy_template(folder)
    raw = folder / "data" / "raw"
    raw.mkdir(parents=True)
    for path in given.files:
        shutil.copy(path, raw / path.name)
    fill_params(folder / "params.yaml", given, folder.resolve().name, labels=labels)
    load_params(folder / "params.yaml")
    commit(folder)
    files = ", ".join(path.name for path in given.files)
    task, looks = ("labels", "labels") if labels else ("text", "free text")
    return [
        f"made {folder}: {files} tracked by DVC, params.yaml filled in, first commit made",
        f"task: {task}, since the completions look like {looks}",
        "read params.yaml, above all prompt.system; then:",
        f"  cd {folder} && make setup && .venv/bin/tunesmith run",
    ]


def copy_template(folder: Path) -> None:
    """Copy every file that git tracks here, but for the state of our own data."""
    if not (TEMPLATE / ".git").exists():
        raise Problem(str(TEMPLATE), "is not a git checkout", do="clone tunesmith and install it with `make setup`")
    for name in git(TEMPLATE, "ls-files", "-z").split("\0"):
        if name and name not in LEFT_OUT and (TEMPLATE / name).exists():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, target)


def fill_params(path: Path, given: Given, name: str, *, labels: bool) -> None:
    """Point params.yaml at the user's files, its comments kept."""
    yaml = YAML()
    yaml.width = 120
    values = yaml.load(path.read_text(encoding="utf-8"))
    values["prompt"]["task"] = "labels" if labels else "text"
    values["prompt"]["system"] = "Sort the message into its category." if labels else ""
    values["ingest"]["folder"] = "data/raw"
    values["ingest"]["sources"] = [source(given, file) for file in given.files]
    values["evaluate"]["rules"] = []
    values["register"]["name"] = re.sub(r"[^A-Za-z0-9_.-]", "-", name).strip("-._") or "model"
    values["register"]["metric"] = "accuracy" if labels else "chrf"
    with path.open("w", encoding="utf-8") as out:
        yaml.dump(values, out)


def source(given: Given, file: Path) -> dict[str, Any]:
    """Describe one file as a source."""
    return {
        "path": file.name,
        "format": "auto",
        "split": "test" if file == given.test else None,
        "prompt_column": given.prompt_column,
        "completion_column": given.completion_column,
        "per_label": None,
    }


def looks_like_labels(completions: list[str]) -> bool:
    """Say whether completions are labels: few different ones, each of them short and used again."""
    different = set(completions)
    return 0 < len(different) <= min(FEW_LABELS, len(completions) / 3) and max(map(len, different)) <= SHORT_LABEL


def sample_completions(given: Given) -> list[str]:
    """Read the completions where that takes no guess about the rows' shape; none otherwise."""
    column = given.completion_column or "completion"
    if given.pairs.suffix.lower() == ".csv":
        rows = csv.DictReader(StringIO(text_of(given.pairs)))
        need(given, rows.fieldnames or [])
        return [str(row[column]) for row in rows if row.get(column)]
    if given.pairs.suffix.lower() in {".jsonl", ".ndjson"}:
        return [value for value in map(completion_of(column), given.pairs.read_bytes().splitlines()) if value]
    return []


def text_of(path: Path) -> str:
    """Read a text file.

    Raises:
        Problem: If it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise Problem(str(path), f"line {line} is not UTF-8", do="save the file as UTF-8") from error


def need(given: Given, columns: Any) -> None:
    """Refuse a table that lacks a column that was named."""
    for column in (given.prompt_column, given.completion_column):
        if column is not None and column not in columns:
            raise Problem(
                str(given.pairs),
                f"has no column {column!r}",
                got=", ".join(columns),
                do="name its columns with --prompt-column and --completion-column",
            )


def completion_of(column: str) -> Any:
    """Give a function that finds the completion in a line of JSON, or nothing."""

    def find(line: bytes) -> str:
        try:
            row = json.loads(line)
        except ValueError:
            return ""
        value = row.get(column) if isinstance(row, dict) else None
        return value if isinstance(value, str) else ""

    return find


def commit(folder: Path) -> None:
    """Set up git and DVC, track the data, make the first commit."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    dvc(folder, "add", "--quiet", "data/raw")
    git(folder, "add", "--all")
    named = {} if git_knows_user(folder) else AUTHOR
    git(folder, "commit", "--quiet", "-m", "Start from tunesmith with our own pairs", **named)


def git_knows_user(folder: Path) -> bool:
    """Say whether git knows in whose name to commit."""
    try:
        return bool(git(folder, "config", "user.email"))
    except Problem:
        return False
