"""What a watch has seen of the sources, what it did about it, and what it has still to do; kept on disk."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from flows.paths import BYTECODE, private, write_whole
from pipeline.errors import Problem
from pipeline.hashing import file_sha256
from pipeline.params import load_params

PARAMS = "params.yaml"
RULES = "rules"
STATE = "watch.json"

Digests = Mapping[str, str]
"""SHA-256 of params.yaml and of each file that is watched with it, by path."""

Stamps = dict[str, tuple[int, int, int]]
"""Size, time and number of each of these files, by path."""


@dataclass(frozen=True)
class State:
    """What a watch did.

    Args:
        handled: The sources as they were when something was last done about them; None before the first time.
        running: The sources for which a run was begun that has not ended.
        outcome: What was done last, in words.
    """

    handled: Digests | None = None
    running: Digests | None = None
    outcome: str = ""


def due(state: State, now: Digests) -> bool:
    """Say whether something is to be done: a run was cut off, or the sources are others than those handled last."""
    return state.running is not None or state.handled != now


def begin(state: State, now: Digests, why: str) -> State:
    """Note a run that is about to begin."""
    return replace(state, running=now, outcome=f"a run was begun: {why}")


def end(state: State, outcome: str) -> State:
    """Note that the run has ended: what it was begun for is handled, whatever the sources say by now."""
    return State(handled=state.running, outcome=outcome)


def put_aside(now: Digests, outcome: str) -> State:
    """Note that these sources need no run, or wait for a person."""
    return State(handled=now, outcome=outcome)


def read_state(root: Path) -> State:
    """Read what the last watch of this checkout noted; a new state if there was none.

    Raises:
        Problem: If the file is not what a watch wrote.
    """
    path = private(root) / STATE
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return State()
    except (ValueError, TypeError) as error:
        raise Problem(
            str(path), "not what a watch wrote", got=str(error), do="remove it; the next watch looks at everything anew"
        ) from error


def write_state(root: Path, state: State) -> State:
    """Keep a state, whole or not at all, and give it back."""
    write_whole(private(root) / STATE, asdict(state))
    return state


def watched(root: Path) -> list[Path]:
    """List params.yaml, every file of the folders that it names, and the house rules; while it is wrong, itself."""
    try:
        params = load_params(root / PARAMS)
    except Problem:  # the run that is begun for it says what is wrong
        return [root / PARAMS]
    places = [
        root / name
        for name in (params.ingest.folder, params.baselines.rag_folder, params.evaluate.forgetting_probe, RULES)
    ]
    files = {
        path for place in places for path in (place, *place.rglob("*")) if path.is_file() and BYTECODE not in path.parts
    }
    return [root / PARAMS, *sorted(files)]


def stamps(root: Path) -> Stamps:
    """Look at each file without reading it: what is found differs when one was written."""
    found: Stamps = {}
    for path in watched(root):
        with suppress(FileNotFoundError):  # replaced at this very moment: the next look finds it
            told = path.stat()
            found[str(path)] = (told.st_size, told.st_mtime_ns, told.st_ino)
    return found


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of each file, by its path in the project: what differs when its content does."""
    found = {}
    for path in watched(root):
        with suppress(FileNotFoundError):
            found[str(path.relative_to(root))] = file_sha256(path)
    return found


def changes(before: Digests | None, now: Digests) -> str:
    """Say in words which files are others than before."""
    if before is None:
        return "seen for the first time"
    found = [f"{name} added" for name in sorted(now.keys() - before.keys())]
    found += [f"{name} removed" for name in sorted(before.keys() - now.keys())]
    found += [f"{name} changed" for name in sorted(now.keys() & before.keys()) if now[name] != before[name]]
    return ", ".join(found) or "as before"
