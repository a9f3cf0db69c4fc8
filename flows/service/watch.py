"""Notices that the sources have changed, decides what that calls for, and starts a run with the reason."""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from flows.paths import PROMOTIONS
from flows.review.data_diff import ingest_current_pairs, run_data_diff
from flows.service.watch_state import (
    FileStamps,
    SourceDigests,
    WatchState,
    begin_run,
    changed_files,
    end_run,
    file_stamps,
    is_due,
    read_state,
    skip_change,
    source_digests,
    write_state,
)
from flows.service.webhook import load_service, notify
from flows.tracking.outbox import is_marked_recorded
from flows.vcs.dvc import stage_names, stale_stages
from flows.vcs.lock import checkout_lock, is_free
from flows.vcs.output_filter import PrintLine
from flows.vcs.states import PAIRS_PATH, RELEASE_PATH, iterate_states
from flows.vcs.subprocesses import child_environment, run_streaming
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.hashing import file_sha256
from pipeline.params import load_params

SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class WatchDecision:
    """What sources call for, and why.

    `mistaken` is whether DVC takes the pairs that are there for those of these sources, and they are not: it notes
    what the sources are when a stage has ended, which may be others than the stage has read.
    """

    outcome: Literal["skip", "ask", "evaluate", "retrain"]
    why: str
    mistaken: bool = False


def watch_sources(root: Path, say: PrintLine, quiet: float = SETTLE_SECONDS) -> None:
    """Look at the sources for ever, and do what each change calls for.

    Args:
        root: The checkout.
        say: Takes each line about what is noticed and done.
        quiet: Seconds for which no file may change before its content is looked at.

    Raises:
        UserError: If another watch has this checkout, or the webhook's address is none.
    """
    load_service()
    with checkout_lock(root, "tunesmith watch", "watching"):
        state = read_state(root)
        say(f"watching params.yaml and the sources that it names; last time: {state.outcome or 'never'}")
        for now in settled_digests(root, quiet):
            if is_due(state, now) and is_free(root):
                state = handle_change(root, state, now, with_timestamps(say))


def with_timestamps(say: PrintLine) -> PrintLine:
    """Put the time before each line."""
    return lambda line: say(f"{datetime.now().astimezone():%H:%M:%S} {line}")


def settled_digests(root: Path, quiet: float) -> Iterator[dict[str, str]]:
    """Give the digests of the sources, again and again, each time that no file has changed for a while.

    Files are looked at in turn instead of waiting for the kernel's word, which network disks never give. They are
    read only if size, time or number of one is another than when they were read last.
    """
    known: FileStamps | None = None
    digested: dict[str, str] = {}
    while True:
        stamped = file_stamps(root)
        time.sleep(quiet)
        if stamped != known:
            if file_stamps(root) != stamped:
                continue
            digested, known = source_digests(root), stamped
        if file_stamps(root) == stamped:
            yield digested


def handle_change(root: Path, state: WatchState, now: SourceDigests, say: PrintLine) -> WatchState:
    """Do what the sources of now call for, and keep what was done before and after a run."""
    what = changed_files(state.handled, now) if state.running is None else "a run was cut off"
    say(f"{what}: looking at the pairs")
    choice = decide_action(root)
    say(f"{choice.outcome}: {choice.why}")
    if choice.outcome in ("skip", "ask"):
        if choice.outcome == "ask":
            notify(f"{root.name}: a person is asked: {choice.why}; `tunesmith run` if it is meant", say)
        return write_state(root, skip_change(now, f"{choice.outcome}: {choice.why}"))
    state = write_state(root, begin_run(state, now, choice.why))
    failed, outcome = run_in_subprocess(root, *(["--force", "ingest"] if choice.mistaken else []))
    if failed and not is_free(root):
        return state  # somebody else's run came first: it is done after that one
    state = write_state(root, end_run(state, outcome))
    say(outcome)
    notify(f"{root.name}: {outcome} ({choice.outcome}: {choice.why})", say)
    return state


def decide_action(root: Path) -> WatchDecision:
    """Compare the pairs with those of the last run, whichever model that left, and look what else is stale.

    What cannot be compared is run: the run ends with the reason, and records it.
    """
    try:
        last = next((state for state in iterate_states(root) if PAIRS_PATH in state.outputs), None)
        if last is None:
            return WatchDecision("retrain", "nothing was run here before")
        stale = stale_stages(root)
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
            now = ingest_current_pairs(root, Path(scratch))
            mistaken = "ingest" not in stale and file_sha256(now) != file_sha256(root / PAIRS_PATH)
            decision = run_data_diff(root, last, now, Path(scratch))["decision"]
        others = other_stale_reasons(root, stale)
    except UserError as problem:
        return WatchDecision("retrain", f"the pairs cannot be compared: {problem}")
    if decision["outcome"] == "skip" and others:
        return WatchDecision("retrain", "; ".join(others), mistaken)
    return WatchDecision(decision["outcome"], "; ".join(decision["reasons"]), mistaken)


def other_stale_reasons(root: Path, stale: Mapping[str, list[str]]) -> list[str]:
    """Say why stages are stale, but for files of the sources: what those changed in the pairs is known."""
    sources = f"{load_params(root / 'params.yaml').ingest.folder} modified"
    reasons = [f"{stage}: {why}" for stage in stage_names(root) for why in stale.get(stage, []) if why != sources]
    return reasons if reasons or is_marked_recorded(root) else ["MLflow does not show the last release yet"]


def run_in_subprocess(root: Path, *options: str) -> tuple[bool, str]:
    """Run `tunesmith run` to its end in a process of its own: whether it failed, and what became of it."""
    before = release_and_promotions(root)
    code, output = run_streaming(
        [sys.executable, "-m", "flows.cli", "run", *options], root, child_environment(), write_output
    )
    if code:
        lines = [line for line in output.decode(errors="replace").splitlines() if line.startswith("error: ")]
        return True, f"the run failed: {lines[-1].removeprefix('error: ') if lines else f'exit code {code}'}"
    after = release_and_promotions(root)
    if after[0] == before[0]:
        return False, "the run made no other model"
    reasons = "; ".join(read_json(root / RELEASE_PATH)["reasons"])
    return False, f"the run ended, {'promoted' if after[1] != before[1] else 'not promoted'}: {reasons}"


def release_and_promotions(root: Path) -> tuple[bytes, bytes]:
    """Give the release of the files, and who was ever promoted."""
    release, promotions = (
        (path.read_bytes() if path.exists() else b"") for path in (root / RELEASE_PATH, root / PROMOTIONS)
    )
    return release, promotions


def write_output(chunk: bytes) -> None:
    """Pass on what a run prints."""
    sys.stdout.buffer.write(chunk)
    sys.stdout.flush()
