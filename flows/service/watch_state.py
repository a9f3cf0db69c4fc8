"""What a watch has seen of the sources, what it did about it, and what it has still to do; kept on disk."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from flows.paths import BYTECODE_FOLDER, PARAMS_YAML, state_dir, write_json_atomic
from pipeline.errors import UserError
from pipeline.hashing import file_sha256
from pipeline.params import load_params

WATCHED_RULES = "rules"
WATCH_STATE_FILE = "watch.json"

SourceDigests = Mapping[str, str]
"""SHA-256 of params.yaml and of each file that is watched with it, by path."""

FileStamps = dict[str, tuple[int, int, int]]
"""Size, time and number of each of these files, by path."""


@dataclass(frozen=True)
class WatchState:
    """What a watch did.

    Args:
        handled: The sources as they were when something was last done about them; None before the first time.
        running: The sources for which a run was begun that has not ended.
        outcome: What was done last, in words.
    """

    handled: SourceDigests | None = None
    running: SourceDigests | None = None
    outcome: str = ""


def is_due(state: WatchState, now: SourceDigests) -> bool:
    """Say whether something is to be done: a run was cut off, or the sources are others than those handled last."""
    return state.running is not None or state.handled != now


def begin_run(state: WatchState, now: SourceDigests, why: str) -> WatchState:
    """Note a run that is about to begin."""
    return replace(state, running=now, outcome=f"a run was begun: {why}")


def end_run(state: WatchState, outcome: str) -> WatchState:
    """Note that the run has ended: what it was begun for is handled, whatever the sources say by now."""
    return WatchState(handled=state.running, outcome=outcome)


def skip_change(now: SourceDigests, outcome: str) -> WatchState:
    """Note that these sources need no run, or wait for a person."""
    return WatchState(handled=now, outcome=outcome)


def read_state(root: Path) -> WatchState:
    """Read what the last watch of this checkout noted; a new state if there was none.

    Raises:
        UserError: If the file is not what a watch wrote.
    """
    path = state_dir(root) / WATCH_STATE_FILE
    try:
        return WatchState(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return WatchState()
    except (ValueError, TypeError) as error:
        raise UserError(
            str(path), "not what a watch wrote", got=str(error), do="remove it; the next watch looks at everything anew"
        ) from error


def write_state(root: Path, state: WatchState) -> WatchState:
    """Keep a state, whole or not at all, and give it back."""
    write_json_atomic(state_dir(root) / WATCH_STATE_FILE, asdict(state))
    return state


def watched_files(root: Path) -> list[Path]:
    """List params.yaml, every file of the folders that it names, and the house rules; while it is wrong, itself."""
    try:
        params = load_params(root / PARAMS_YAML)
    except UserError:  # the run that is begun for it says what is wrong
        return [root / PARAMS_YAML]
    patterns = [
        root / name
        for name in (params.ingest.folder, params.baselines.rag_folder, params.evaluate.forgetting_probe, WATCHED_RULES)
    ]
    files = {
        path
        for pattern in patterns
        for path in (pattern, *pattern.rglob("*"))
        if path.is_file() and BYTECODE_FOLDER not in path.parts
    }
    return [root / PARAMS_YAML, *sorted(files)]


def file_stamps(root: Path) -> FileStamps:
    """Look at each file without reading it: what is found differs when one was written."""
    stamps: FileStamps = {}
    for path in watched_files(root):
        with suppress(FileNotFoundError):  # replaced at this very moment: the next look finds it
            status = path.stat()
            stamps[str(path)] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return stamps


def source_digests(root: Path) -> dict[str, str]:
    """SHA-256 of each file, by its path in the project: what differs when its content does."""
    digests = {}
    for path in watched_files(root):
        with suppress(FileNotFoundError):
            digests[str(path.relative_to(root))] = file_sha256(path)
    return digests


def changed_files(before: SourceDigests | None, now: SourceDigests) -> str:
    """Say in words which files are others than before."""
    if before is None:
        return "seen for the first time"
    changes = [f"{name} added" for name in sorted(now.keys() - before.keys())]
    changes += [f"{name} removed" for name in sorted(before.keys() - now.keys())]
    changes += [f"{name} changed" for name in sorted(now.keys() & before.keys()) if now[name] != before[name]]
    return ", ".join(changes) or "as before"
