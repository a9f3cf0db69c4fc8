"""Notices that the sources have changed, decides what that calls for, and starts a run with the reason."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from flows.paths import PROMOTIONS
from flows.review.data_diff import found, made
from flows.service.watch_state import (
    Digests,
    Stamps,
    State,
    begin,
    changes,
    digests,
    due,
    end,
    put_aside,
    read_state,
    stamps,
    write_state,
)
from flows.service.webhook import notify, webhook
from flows.tracking.outbox import marked
from flows.vcs.dvc import stages, status
from flows.vcs.lock import free, only_run
from flows.vcs.states import PAIRS, states
from flows.vcs.subprocesses import environment, follow
from pipeline.errors import Problem
from pipeline.files import read_json
from pipeline.hashing import file_sha256
from pipeline.params import load_params

QUIET_SECONDS = 2.0
RELEASE = "data/register/release.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """What sources call for, and why.

    `mistaken` is whether DVC takes the pairs that are there for those of these sources, and they are not: it notes
    what the sources are when a stage has ended, which may be others than the stage has read.
    """

    outcome: Literal["skip", "ask", "evaluate", "retrain"]
    why: str
    mistaken: bool = False


def watch(root: Path, say: Say, quiet: float = QUIET_SECONDS) -> None:
    """Look at the sources for ever, and do what each change calls for.

    Args:
        root: The checkout.
        say: Takes each line about what is noticed and done.
        quiet: Seconds for which no file may change before its content is looked at.

    Raises:
        Problem: If another watch has this checkout, or the webhook's address is none.
    """
    webhook()
    with only_run(root, "tunesmith watch", "watching"):
        state = read_state(root)
        say(f"watching params.yaml and the sources that it names; last time: {state.outcome or 'never'}")
        for now in settled(root, quiet):
            if due(state, now) and free(root):
                state = handle(root, state, now, timed(say))


def timed(say: Say) -> Say:
    """Put the time before each line."""
    return lambda line: say(f"{datetime.now().astimezone():%H:%M:%S} {line}")


def settled(root: Path, quiet: float) -> Iterator[dict[str, str]]:
    """Give the digests of the sources, again and again, each time that no file has changed for a while.

    Files are looked at in turn instead of waiting for the kernel's word, which network disks never give. They are
    read only if size, time or number of one is another than when they were read last.
    """
    known: Stamps | None = None
    digested: dict[str, str] = {}
    while True:
        stamped = stamps(root)
        time.sleep(quiet)
        if stamped != known:
            if stamps(root) != stamped:
                continue
            digested, known = digests(root), stamped
        if stamps(root) == stamped:
            yield digested


def handle(root: Path, state: State, now: Digests, say: Say) -> State:
    """Do what the sources of now call for, and keep what was done before and after a run."""
    what = changes(state.handled, now) if state.running is None else "a run was cut off"
    say(f"{what}: looking at the pairs")
    choice = decide(root)
    say(f"{choice.outcome}: {choice.why}")
    if choice.outcome in ("skip", "ask"):
        if choice.outcome == "ask":
            notify(f"{root.name}: a person is asked: {choice.why}; `tunesmith run` if it is meant", say)
        return write_state(root, put_aside(now, f"{choice.outcome}: {choice.why}"))
    state = write_state(root, begin(state, now, choice.why))
    failed, outcome = run(root, *(["--force", "ingest"] if choice.mistaken else []))
    if failed and not free(root):
        return state  # somebody else's run came first: it is done after that one
    state = write_state(root, end(state, outcome))
    say(outcome)
    notify(f"{root.name}: {outcome} ({choice.outcome}: {choice.why})", say)
    return state


def decide(root: Path) -> Choice:
    """Compare the pairs with those of the last run, whichever model that left, and look what else is stale.

    What cannot be compared is run: the run ends with the reason, and records it.
    """
    try:
        last = next((state for state in states(root) if PAIRS in state.outputs), None)
        if last is None:
            return Choice("retrain", "nothing was run here before")
        stale = status(root)
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
            now = made(root, Path(place))
            mistaken = "ingest" not in stale and file_sha256(now) != file_sha256(root / PAIRS)
            decision = found(root, last, now, Path(place))["decision"]
        others = stale_besides(root, stale)
    except Problem as problem:
        return Choice("retrain", f"the pairs cannot be compared: {problem}")
    if decision["outcome"] == "skip" and others:
        return Choice("retrain", "; ".join(others), mistaken)
    return Choice(decision["outcome"], "; ".join(decision["reasons"]), mistaken)


def stale_besides(root: Path, stale: Mapping[str, list[str]]) -> list[str]:
    """Say why stages are stale, but for files of the sources: what those changed in the pairs is known."""
    sources = f"{load_params(root / 'params.yaml').ingest.folder} modified"
    reasons = [f"{stage}: {why}" for stage in stages(root) for why in stale.get(stage, []) if why != sources]
    return reasons if reasons or marked(root) else ["MLflow does not show the last release yet"]


def run(root: Path, *options: str) -> tuple[bool, str]:
    """Run `tunesmith run` to its end in a process of its own: whether it failed, and what became of it."""
    before = released(root)
    code, output = follow([sys.executable, "-m", "flows.cli", "run", *options], root, environment(), show)
    if code:
        lines = [line for line in output.decode(errors="replace").splitlines() if line.startswith("error: ")]
        return True, f"the run failed: {lines[-1].removeprefix('error: ') if lines else f'exit code {code}'}"
    after = released(root)
    if after[0] == before[0]:
        return False, "the run made no other model"
    reasons = "; ".join(read_json(root / RELEASE)["reasons"])
    return False, f"the run ended, {'promoted' if after[1] != before[1] else 'not promoted'}: {reasons}"


def released(root: Path) -> tuple[bytes, bytes]:
    """Give the release of the files, and who was ever promoted."""
    release, promotions = (
        (path.read_bytes() if path.exists() else b"") for path in (root / RELEASE, root / PROMOTIONS)
    )
    return release, promotions


def show(chunk: bytes) -> None:
    """Pass on what a run prints."""
    sys.stdout.buffer.write(chunk)
    sys.stdout.flush()
