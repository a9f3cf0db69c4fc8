"""A past model made again: every stage anew from the state's own code and data, the ladder, and a word to MLflow."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pipeline
from flows.paths import private
from flows.reproduce.comparison import Evidence, Outcome, Rung, climb, judge, read_evidence
from flows.reproduce.differences import (
    Difference,
    computed,
    cpu_kind,
    input_differences,
    machine_differences,
    package_differences,
    param_differences,
)
from flows.reproduce.environment import build, pinned
from flows.reproduce.state import ASIDE, TREE, State, lay_out, set_aside
from flows.reproduce.target import Target, resolve
from flows.tracking.queries import tell
from flows.vcs.dvc import Journal, StageFailed, words_of
from flows.vcs.output_filter import Screen, show
from flows.vcs.recovery import whole
from flows.vcs.subprocesses import environment, follow
from flows.vcs.worktree import remove_worktree
from pipeline.errors import Problem
from pipeline.params import read_yaml

Say = Callable[[str], None]

PROBE = Path(pipeline.__file__).with_name("finetune") / "environment.py"


def reproduce(root: Path, what: str, say: Say, *, own_packages: bool) -> Outcome:
    """Make a past model again and compare every rung of its ladder; MLflow's run and version are told how it ended.

    What differs is left in a worktree below the private folder, to be looked at.

    Args:
        root: The checkout.
        what: A commit, a run or a version.
        say: Takes each line about the progress, and the ladder.
        own_packages: Whether to build an environment from the state's own constraints.

    Raises:
        Problem: If nothing is called so, an object of its data cannot be had, or a stage fails.
    """
    with whole(root, "tunesmith reproduce"):
        target = resolve(root, what)
        say(f"making again {described(target)}")
        state = lay_out(root, target.commit)
        recorded = set_aside(state)
        then = recorded.release["environment"]
        python = build(root, state.tree, then["python"]) if own_packages else sys.executable
        now = machine(python, state.tree)
        before = differences_before(state, then, now)
        for difference in before:
            say(f"  otherwise: {difference}")
        run_all(state, python, say)
        outcome = compare(state, recorded, before, say)
        if target.made is not None:
            tell(root, target.made, tags(outcome, now))
        if outcome.result != "differs":
            remove_worktree(root, TREE)
    return outcome


def described(target: Target) -> str:
    """Say what is made again."""
    if target.made is None:
        return f"commit {target.commit[:12]}, of which MLflow knows no run"
    version = target.made.version
    return f"{version.name} version {version.number} (run {target.made.run_id[:8]}, commit {target.commit[:12]})"


def machine(python: str, folder: Path) -> dict[str, Any]:
    """Describe this machine, and the packages that an interpreter has, in the words of `pipeline.finetune.environment`.

    Raises:
        Problem: If the interpreter cannot load what the stages need.
    """
    # -P: the folder of that file holds a module named as one of Python's own.
    done = subprocess.run(
        [python, "-P", str(PROBE)], cwd=folder, env=environment(), check=False, capture_output=True, text=True
    )  # fmt: skip
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["ended without a word"]
        raise Problem(python, f"cannot run the stages: {words[-1]}", do="`make setup`, or try it with --env")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def differences_before(state: State, then: dict[str, Any], now: dict[str, Any]) -> list[Difference]:
    """List all that is known to be otherwise before the first stage runs."""
    return [
        *input_differences(state.tree, state.lock),
        *param_differences(state.lock, read_yaml(state.tree / "params.yaml")),
        *package_differences(then["packages"], pinned(state.tree), now["packages"]),
        *machine_differences(then, now),
    ]


def run_all(state: State, python: str, say: Say) -> None:
    """Run every stage in its order.

    Raises:
        StageFailed: With the line that a stage gave as its reason.
    """
    for stage in state.lock:
        say(f"  {stage:<10} ...")
        started = time.monotonic()
        run_stage(state.tree, stage, python)
        say(f"  {stage:<10} ran ({time.monotonic() - started:.0f} s)")


def run_stage(tree: Path, stage: str, python: str) -> None:
    """Run one stage as dvc.yaml says it, yet without DVC: nothing can then come from a cache.

    The worktree is where Python looks first, so it is the state's own code that runs.

    Raises:
        StageFailed: With the line that it gave as its reason.
    """
    journal = Journal(private(tree) / "journal.jsonl")
    before = len(journal.entries())
    own = {
        "TUNESMITH_JOURNAL": str(journal.path),
        "TORCHINDUCTOR_CACHE_DIR": str(private(tree) / "compiled"),
    }
    code, output = follow([python, "-m", f"pipeline.{stage}"], tree, environment(**own), Screen(show, len))
    if code:
        raise StageFailed(stage, words_of(journal.entries()[before:], output, code))


def compare(state: State, recorded: Evidence, before: Sequence[Difference], say: Say) -> Outcome:
    """Put up the ladder, say each rung, and judge."""
    found = read_evidence(state.found(), state.tree)
    differences = [*before, *base_difference(recorded, found)]
    rungs = climb(state.sources, recorded, found)
    outcome = judge(rungs, differences, list(state.lock))
    for line in report(rungs, outcome, elsewhere=bool(computed(differences))):
        say(line)
    return outcome


def base_difference(recorded: Evidence, found: Evidence) -> list[Difference]:
    """Say whether the base model is another one: its tokenizer is used from the third stage on."""
    then, now = (one.release["digests"]["base"] for one in (recorded, found))
    return [] if then == now else [Difference("base model", "", then[:12], now[:12], "tokenize")]


def report(rungs: Sequence[Rung], outcome: Outcome, *, elsewhere: bool) -> list[str]:
    """Put the ladder and the outcome into lines."""
    head = f"\n{'rung':<20} {'recorded':<12}  {'found':<12}"
    words = [f"  {why}" for why in outcome.why]
    if outcome.result == "differs":
        looked = f"look at    .tunesmith/{TREE} (made now) and .tunesmith/{TREE}/.tunesmith/{ASIDE} (recorded)"
        return [head, *(rung.line(elsewhere=elsewhere) for rung in rungs), f"{outcome}; likely cause:", *words, looked]
    return [head, *(rung.line(elsewhere=elsewhere) for rung in rungs), f"{outcome}", *words]


def tags(outcome: Outcome, now: dict[str, Any]) -> dict[str, str]:
    """Say for MLflow how it ended, why, when, and on what."""
    return {
        "tunesmith.reproduced": str(outcome),
        "tunesmith.reproduced.why": "; ".join(outcome.why),
        "tunesmith.reproduced.at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tunesmith.reproduced.on": f"{platform.node()}, {now['device']}, {cpu_kind(now)}",
    }
