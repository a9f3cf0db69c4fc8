"""A new repository of this shape round a user's own pairs."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.paths import PROMOTIONS
from flows.project.params_file import editable_yaml
from flows.vcs.dvc import StageFailed, run_dvc
from flows.vcs.git import SNAPSHOT_AUTHOR, run_git
from flows.vcs.subprocesses import child_environment
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.pairs import Pair, read_pairs
from pipeline.params import Task, load_params

TEMPLATE_ROOT = Path(__file__).resolve().parents[2]
EXCLUDED_FILES = ("dvc.lock",)
README_ONLY_FOLDERS = ("data/scored_prompts/", "data/holdout_uses/", "data/learning_curve/")
"""Folders of which only what they say of themselves is copied."""
MAX_LABELS = 200
MAX_LABEL_CHARS = 60
TASK_WORDS: dict[Task, str] = {"labels": "labels", "text": "free text", "json": "JSON"}
DEFAULT_METRICS: dict[Task, str] = {"labels": "accuracy", "text": "chrf", "json": "json_exact"}
SYSTEM_MESSAGES: dict[Task, tuple[str, ...]] = {
    "labels": (
        "Sort the message into one of these categories: {labels}.",
        "Answer with one of {labels} and nothing else.",
    ),
    "json": ("Answer with JSON and nothing else.", "Decide about the message. Answer with one JSON object."),
    "text": ("You are a helpful assistant. Answer the message.", "Answer the message in a few sentences."),
}
"""The system messages that are worth a try for a task, whatever it is about."""


@dataclass(frozen=True)
class UserData:
    """What the user gives: files, and the names of the columns if they do not say what they are."""

    pairs: Path
    test: Path | None
    prompt_column: str | None
    completion_column: str | None

    @property
    def files(self) -> list[Path]:
        """The files to take over."""
        return [self.pairs] if self.test is None else [self.pairs, self.test]


def make_project(folder: Path, given: UserData) -> list[str]:
    """Make the repository and say what was made and what comes next.

    It is made beside its place and moved there when it is whole.

    Raises:
        UserError: If the folder exists, the files hold no pairs, or this installation is not a checkout to copy from.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(str(folder), "exists already", do="name a folder that is not there yet")
    if len({path.name for path in given.files}) < len(given.files):
        raise UserError(given.pairs.name, "both files have this name", do="rename one")
    if (given.prompt_column is None) != (given.completion_column is None):
        raise UserError("--prompt-column and --completion-column", "only one is given", do="name both, or neither")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        lines = fill_project(part, given, folder.resolve().name)
        part.rename(folder)
    except OSError as error:
        raise UserError(str(folder), f"could not be made: {error.strerror}", got=str(error.filename)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    names = ", ".join(path.name for path in given.files)
    return [
        f"made {folder}: {names} tracked by DVC, params.yaml filled in, first commit made",
        *lines,
        "read params.yaml, above all prompt.system; then:",
        f"  cd {shlex.quote(str(folder))} && make setup && .venv/bin/tunesmith run",
    ]


def fill_project(folder: Path, given: UserData, name: str) -> list[str]:
    """Make everything in a folder that is not there yet; say what was found in the user's files."""
    copy_template(folder)
    raw = folder / "data" / "raw"
    raw.mkdir(parents=True)
    for path in given.files:
        shutil.copy(path, raw / path.name)
    fill_params(folder / "params.yaml", given, name, "text")
    pairs, files = ingest_data(folder)
    task = guess_task([pair.completion for pair in pairs if pair.split != "test"])
    fill_params(folder / "params.yaml", given, name, task)
    load_params(folder / "params.yaml")
    first_commit(folder)
    return [*map(file_summary, files), f"task: {task}, since the completions look like {TASK_WORDS[task]}"]


def ingest_data(folder: Path) -> tuple[list[Pair], list[dict[str, Any]]]:
    """Let the project's own first stage read the files: the pairs, and the account of each file.

    Raises:
        UserError: With the stage's own line, if it finds no pairs.
    """
    process = subprocess.run(
        [sys.executable, "-m", "pipeline.ingest"],
        cwd=folder, env=child_environment(), check=False, capture_output=True,
        text=True,
    )  # fmt: skip
    if process.returncode:
        words = (process.stderr.strip().splitlines() or ["could not be read"])[-1]
        raise StageFailed("ingest", words.removeprefix("error: "))
    ingested = folder / "data" / "ingest"
    pairs, files = read_pairs(ingested / "pairs.parquet"), read_json(ingested / "report.json")["files"]
    shutil.rmtree(ingested)
    for file in files:
        if not file["kept"]:
            raise UserError(
                file["file"],
                "not one row is a pair",
                got=f"{file['rows']} rows",
                do="write them as the pairs are written",
            )
    return pairs, files


def file_summary(file: dict[str, Any]) -> str:
    """Say what was found in a file."""
    aside = f", {file['quarantined']:,} rows that are no pair" if file["quarantined"] else ""
    return f"{file['file']}: {file['kept']:,} pairs{aside}"


def copy_template(folder: Path) -> None:
    """Copy every file that git tracks here, but for the state of our own data."""
    names = run_git(TEMPLATE_ROOT, "ls-files", "-z").split("\0") if (TEMPLATE_ROOT / ".git").exists() else []
    if "params.yaml" not in names:
        raise UserError(
            str(TEMPLATE_ROOT), "is not a git checkout", do="clone tunesmith and install it with `make setup`"
        )
    for name in names:
        if name and not is_template_data(name) and (TEMPLATE_ROOT / name).exists():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE_ROOT / name, target)
    for ours in ("data/golden_tokens.jsonl", PROMOTIONS):  # what is accepted here, and who was champion
        (folder / ours).write_bytes(b"")


def is_template_data(name: str) -> bool:
    """Say whether a file is about our own data alone: what it is, what was tested of it, and how often that decided."""
    return name in EXCLUDED_FILES or (name.startswith(README_ONLY_FOLDERS) and Path(name).name != "README.md")


def fill_params(path: Path, given: UserData, name: str, task: Task) -> None:
    """Point params.yaml at the user's files, its comments kept."""
    yaml = editable_yaml()
    values = yaml.load(path.read_text(encoding="utf-8"))
    values["prompt"]["task"] = task
    values["prompt"]["system"] = "Sort the message into its category." if task == "labels" else ""
    values["ingest"]["folder"] = "data/raw"
    first = values["ingest"]["sources"][0]
    first.update(source_entry(given, given.pairs))
    values["ingest"]["sources"] = [first, *(source_entry(given, file) for file in given.files[1:])]
    values["baselines"]["system_prompts"] = list(SYSTEM_MESSAGES[task])
    values["evaluate"]["rules"] = []
    values["register"]["name"] = re.sub(r"[^A-Za-z0-9_.-]", "-", name).strip("-._") or "model"
    values["register"]["metric"] = DEFAULT_METRICS[task]
    with path.open("w", encoding="utf-8") as out:
        yaml.dump(values, out)


def source_entry(given: UserData, file: Path) -> dict[str, Any]:
    """Describe one file as a source."""
    return {
        "path": file.name,
        "sha256": None,
        "format": "auto",
        "encoding": None,
        "delimiter": None,
        "split": "test" if file == given.test else None,
        "prompt_column": given.prompt_column,
        "completion_column": given.completion_column,
        "per_label": None,
    }


def guess_task(completions: list[str]) -> Task:
    """Say which task pairs are of, by how their completions look."""
    if completions and all(map(looks_like_json, completions)):
        return "json"
    return "labels" if looks_like_labels(completions) else "text"


def looks_like_json(completion: str) -> bool:
    """Say whether a completion is a JSON object or list; numbers and words are JSON too, but not meant as such."""
    try:
        return isinstance(json.loads(completion), dict | list)
    except ValueError:
        return False


def looks_like_labels(completions: list[str]) -> bool:
    """Say whether completions are labels: few different ones, each of them short and used again."""
    different = set(completions)
    return 0 < len(different) <= min(MAX_LABELS, len(completions) / 3) and max(map(len, different)) <= MAX_LABEL_CHARS


def first_commit(folder: Path) -> None:
    """Set up git and DVC, track the data, make the first commit."""
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    run_dvc(folder, "add", "--quiet", "data/raw")
    run_git(folder, "add", "--all")
    named = {} if has_git_identity(folder) else SNAPSHOT_AUTHOR
    run_git(folder, "commit", "--quiet", "-m", "Start from tunesmith with our own pairs", **named)


def has_git_identity(folder: Path) -> bool:
    """Say whether git knows in whose name to commit."""
    try:
        return bool(run_git(folder, "config", "user.email"))
    except UserError:
        return False
