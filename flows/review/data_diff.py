"""Differences of the pairs since a past state, and the recommended action."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.champion import store
from flows.vcs.dvc import StageFailed, stale_stages
from flows.vcs.git import head_commit
from flows.vcs.states import (
    PAIRS_PATH,
    CommitState,
    iterate_states,
    resolve_commit,
    restore_output,
    state_at,
    state_with_adapter,
)
from flows.vcs.subprocesses import child_environment
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.params import load_params

EXAMPLES_SHOWN = 3
EXAMPLE_TEXT_CHARS = 100
KIND_WORDS = {
    "added": "added",
    "removed": "removed",
    "edited": "edited: nearly the same prompt, or the same place and completion",
    "relabelled": "relabelled: the same prompt, another completion",
    "moved": "moved to another side of the split",
    "spelling": "other blanks, or another case of the prompt",
}
ACTION_SENTENCES = {
    "skip": "skip: nothing to do",
    "evaluate": "evaluate: the champion is to be tested again, there is little to learn",
    "retrain": "retrain",
    "ask": "stop and ask: look at this before anything is trained on it",
}


@dataclass(frozen=True)
class DiffBase:
    """What the pairs are compared with: a state of the past, and whose it is."""

    state: CommitState
    label: str


def find_diff_base(root: Path, name: str, revision: str | None = None) -> DiffBase | None:
    """Find what to compare with: the state that is asked for, else what the champion was made from, else the last one.

    Returns:
        None if nothing is asked for, and no state of the past has pairs.

    Raises:
        UserError: If the state that is asked for is none, or has no pairs.
    """
    if revision is not None:
        base = state_at(root, resolve_commit(root, revision))
        if base is None or PAIRS_PATH not in base.outputs:
            raise UserError(
                revision, "no pairs are kept there", expected=f"dvc.lock with {PAIRS_PATH}", do="name a run"
            )
        return DiffBase(base, revision)
    held = store.current_champion(root, name)
    if held is not None and (made := state_with_adapter(root, held.adapter)):
        return DiffBase(made, "the champion")
    last = next((state for state in iterate_states(root) if PAIRS_PATH in state.outputs), None)
    if last is None:
        return None
    return DiffBase(last, "HEAD" if last.commit == head_commit(root) else "the last run")


def compare_pairs(root: Path, revision: str | None = None, *, fresh: bool = False) -> tuple[DiffBase, dict[str, Any]]:
    """Compare the pairs of now with those of the past; nothing is left behind.

    Args:
        root: The checkout.
        revision: What to compare with (see `find_diff_base`).
        fresh: Whether ingest is known to be fresh; else DVC is asked.

    Returns:
        What they were compared with, and what `pipeline.data_diff` found.

    Raises:
        UserError: If there is nothing to compare with, or the sources cannot be read.
    """
    against = find_diff_base(root, load_params(root / "params.yaml").register.name, revision)
    if against is None:
        raise UserError("the pairs", "there are none of before to compare with", do="`tunesmith run` makes the first")
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        now = root / PAIRS_PATH if fresh else current_pairs(root, Path(scratch))
        return against, run_data_diff(root, against.state, now, Path(scratch))


def run_data_diff(root: Path, state: CommitState, now: Path, folder: Path) -> dict[str, Any]:
    """Let the pipeline compare a file of pairs with that of a state, by way of a folder to write into."""
    old, out = folder / "old.parquet", folder / "difference.json"
    restore_output(root, state, PAIRS_PATH, old)
    run_pipeline_module(root, "pipeline.data_diff", str(old), str(now), str(out))
    compared: dict[str, Any] = read_json(out)
    return compared


def current_pairs(root: Path, folder: Path) -> Path:
    """Give the pairs of now: those of ingest if it is fresh, else what it would make, made in a folder of its own."""
    if (root / PAIRS_PATH).exists() and "ingest" not in stale_stages(root):
        return root / PAIRS_PATH
    return ingest_current_pairs(root, folder)


def ingest_current_pairs(root: Path, scratch_folder: Path) -> Path:
    """Give the pairs that ingest would make of the sources as they are now, made in a folder of its own."""
    folder = Path(load_params(root / "params.yaml").ingest.folder)
    (scratch_folder / folder).parent.mkdir(parents=True, exist_ok=True)
    (scratch_folder / folder).symlink_to(root / folder)
    shutil.copy(root / "params.yaml", scratch_folder)
    run_pipeline_module(root, "pipeline.ingest", cwd=scratch_folder)
    return scratch_folder / PAIRS_PATH


def run_pipeline_module(root: Path, name: str, *arguments: str, cwd: Path | None = None) -> None:
    """Run a module of this checkout's pipeline, in the checkout unless another folder is given.

    Raises:
        StageFailed: With the last line it said, if it fails.
    """
    command = [sys.executable, "-m", name, *arguments]
    process = subprocess.run(
        command,
        cwd=cwd or root, env=child_environment(PYTHONPATH=str(root)), check=False, capture_output=True, text=True,
    )  # fmt: skip
    if process.returncode:
        words = (process.stderr.strip().splitlines() or ["ended without a word"])[-1]
        raise StageFailed(name.removeprefix("pipeline."), words.removeprefix("error: "))


def data_diff_lines(against: DiffBase, compared: Mapping[str, Any]) -> Iterator[str]:
    """Put a comparison into words: counts, labels, drift, rows, and what it calls for."""
    decision = compared["decision"]
    yield f"against   {against.label} ({against.state.commit[:12]})"
    yield from change_lines(compared)
    yield f"decision  {ACTION_SENTENCES[decision['outcome']]}"
    yield from (f"          {reason}" for reason in decision["reasons"])


def change_lines(compared: Mapping[str, Any]) -> Iterator[str]:
    """Put into words what changed in the rows: counts, the first of each kind, labels and drift."""
    rows, change = compared["rows"], compared["change"]
    yield f"rows      {rows['before']:,} then, {rows['after']:,} now, {rows['unchanged']:,} unchanged"
    for kind, words in KIND_WORDS.items():
        yield from kind_lines(kind, words, compared)
    for word in ("new", "vanished"):
        if labels := change[f"{word}_labels"]:
            yield f"{word} labels: " + ", ".join(f"{label} ({count:,} rows)" for label, count in labels.items())
    moved = ", ".join(f"{name} {how_far:.3f}" for name, how_far in change["drift"].items())
    yield f"drift     {moved} (0: no more than chance, 1: nothing in common)"


def kind_lines(kind: str, words: str, compared: Mapping[str, Any]) -> Iterator[str]:
    """Say of one kind of change how many rows it has, and show the first."""
    learnt, tested = (compared["change"][side][kind] for side in ("learnt", "tested"))
    if not learnt + tested:
        return
    yield f"{learnt + tested:,} {words} ({learnt:,} in training or validation, {tested:,} in the test set)"
    for example in [example for example in compared["examples"] if example["kind"] == kind][:EXAMPLES_SHOWN]:
        yield f"  {example['source']} row {example['row']}: {example_line(example)}"


def example_line(example: Mapping[str, Any]) -> str:
    """Show a row that changed, on one line: what it was, an arrow, what it is, each only where they differ."""
    asked, answered = ((example[f"{part}_before"], example[f"{part}_after"]) for part in ("prompt", "completion"))
    return f"{before_after_line(*asked)} | {before_after_line(*answered)}"


def before_after_line(before: str | None, after: str | None) -> str:
    """Show a text, or what it was and what it is."""
    texts = [repr(text[:EXAMPLE_TEXT_CHARS]) for text in (before, after) if text is not None]
    return " -> ".join(dict.fromkeys(texts))
