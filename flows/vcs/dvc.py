"""DVC's command: which stages are stale, and bringing one up to date in a process group of its own."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.paths import state_dir
from flows.vcs.subprocesses import child_environment, run_streaming
from pipeline.errors import UserError
from pipeline.params import read_yaml

StageOutcome = Literal["ran", "cached", "fresh"]

RAW_FOLDER = Path("data") / "raw"
BLOCKED_MESSAGE = "is being blocked by"
"""What DVC says of a file that another of its processes writes or reads."""
DVC_NOISE = ("Running stage", "> ", "ERROR: failed to reproduce", "WARNING: ")
"""Lines that DVC puts round what a stage prints."""


class StageFailed(UserError):
    """A stage that did not come to its end, with its own words."""

    def __init__(self, stage: str, words: str) -> None:
        Exception.__init__(self, f"{stage}: {words}")
        self.where = stage
        self.what = words


@dataclass(frozen=True)
class RunJournal:
    """The file in which the stages of one run say that they started and how they ended."""

    path: Path

    def entries(self) -> list[dict[str, Any]]:
        """Read what has been said so far."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


def stage_names(root: Path) -> list[str]:
    """Name the stages in their order, which is the order of dvc.yaml.

    Raises:
        UserError: If it names none.
    """
    definition = read_yaml(root / "dvc.yaml")
    if not isinstance(definition, dict) or not definition.get("stages"):
        raise UserError(str(root / "dvc.yaml"), "names no stages", do="bring it back with `git checkout dvc.yaml`")
    return list(definition["stages"])


def run_dvc(root: Path, *arguments: str) -> str:
    """Run a DVC command that is over soon and return what it prints.

    Raises:
        UserError: With DVC's own words, if it fails.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    process = subprocess.run(command, cwd=root, env=child_environment(), check=False, capture_output=True, text=True)
    if process.returncode:
        words = [line.removeprefix("ERROR: ") for line in process.stderr.splitlines() if line.startswith("ERROR")]
        if BLOCKED_MESSAGE in process.stderr:
            raise UserError(f"dvc {arguments[0]}", "the files are busy: a run is going on", do="wait for it to end")
        raise UserError(f"dvc {arguments[0]}", " ".join(words) or process.stderr.strip() or "failed without a word")
    return process.stdout


def stale_stages(root: Path) -> dict[str, list[str]]:
    """Say which stages are stale, and why; a stage behind a stale one may turn out so when its turn comes."""
    stale = json.loads(run_dvc(root, "status", "--json"))
    return {name: stale_reasons(changes) for name, changes in stale.items()}


def stale_reasons(changes: list[Any]) -> list[str]:
    """Put DVC's account of a stage into words."""
    words = []
    for change in changes:
        if isinstance(change, str):
            words.append(change)
            continue
        for kind, what in change.items():
            details = what if isinstance(what, dict) else {str(what): "modified"}
            words += [f"{name} {how}" if isinstance(how, str) else changed_params(how) for name, how in details.items()]
            if not details:
                words.append(kind)
    return words


def changed_params(sections: dict[str, Any]) -> str:
    """Name the parameters that changed."""
    return f"params: {', '.join(sorted(sections))}"


def track_raw_data(root: Path) -> bool:
    """Let DVC take in what has changed in data/raw; True if something had."""
    pointer = f"{RAW_FOLDER}.dvc"
    if not (root / pointer).exists() or pointer not in stale_stages(root):
        return False
    run_dvc(root, "add", "--quiet", str(RAW_FOLDER))
    return True


def reproduce_stage(
    root: Path, stage: str, journal: RunJournal, show: Callable[[bytes], None], *, force: bool, live: Path
) -> StageOutcome:
    """Bring one stage up to date, giving what it prints to *show* as it comes.

    Whatever ends this early, ends the stage too: it runs in a process group of its own that is killed as a whole.

    Raises:
        StageFailed: If the stage fails, with the line it gave as the reason.
    """
    before = len(journal.entries())
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", *(["--force"] if force else []), stage]
    more = {
        "TUNESMITH_JOURNAL": str(journal.path),
        "TUNESMITH_LIVE": str(live),
        "TUNESMITH_CHECKPOINTS": str(state_dir(root) / "checkpoints"),
        "TORCHINDUCTOR_CACHE_DIR": str(state_dir(root) / "compiled"),
    }
    if sys.stderr.isatty():
        more["TUNESMITH_TERMINAL"] = "1"
    if force:
        shutil.rmtree(state_dir(root) / "checkpoints", ignore_errors=True)  # made anew, from the beginning
    code, output = run_streaming(command, root, child_environment(**more), show)
    entries = journal.entries()[before:]
    if code:
        raise StageFailed(stage, failure_reason(entries, output, code))
    if any(entry["event"] == "start" for entry in entries):
        return "ran"
    return "cached" if b"is cached" in output else "fresh"


def failure_reason(entries: list[dict[str, Any]], output: bytes, code: int) -> str:
    """Find why a stage failed: its own line, the signal that ended it, else the last thing it printed."""
    for entry in entries:
        if entry["event"] == "problem":
            return str(entry["line"])
    text = output.decode(errors="replace").replace("\r", "\n")
    ended = re.search(r"exited with (-?\d+)", text)
    code = int(ended[1]) if ended else min(code, 0)
    number = -code if code < 0 else code - 128  # a shell in between adds 128 to the signal
    if number in set(signal.Signals):
        return f"its process was killed by signal {number}; run it again"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(DVC_NOISE)]
    return (lines or [f"ended without a word, with exit code {code}"])[-1].removeprefix("ERROR: ")
