"""Rebuilds a past model: every stage anew from the state's own code and data, the comparison, the outcome in MLflow."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pipeline
from flows.paths import state_dir
from flows.reproduce.comparison import (
    ComparisonStep,
    ReproductionResult,
    RunEvidence,
    compare_evidence,
    judge_steps,
    read_evidence,
)
from flows.reproduce.differences import (
    InputDifference,
    changes_machine_kind,
    cpu_kind,
    input_differences,
    machine_differences,
    package_differences,
    param_differences,
)
from flows.reproduce.environment import build_environment, pinned_versions
from flows.reproduce.state import RECORDED_FOLDER, REPRODUCE_WORKTREE, WorktreeState, check_out_state, move_outputs_away
from flows.reproduce.target import ReproductionTarget, resolve_target
from flows.tracking.queries import tag_origin
from flows.vcs.dvc import RunJournal, StageFailed, failure_reason
from flows.vcs.output_filter import OutputFilter, PrintLine, print_output
from flows.vcs.recovery import locked_and_recovered
from flows.vcs.subprocesses import child_environment, run_streaming
from flows.vcs.worktree import remove_worktree
from pipeline.errors import UserError
from pipeline.params import read_yaml

MACHINE_PROBE = Path(pipeline.__file__).with_name("finetune") / "environment.py"


def reproduce_model(root: Path, what: str, say: PrintLine, *, own_packages: bool) -> ReproductionResult:
    """Rebuild a past model and compare it step by step; the outcome is logged to its run and version in MLflow.

    What differs is left in a worktree below the private folder, to be looked at.

    Args:
        root: The checkout.
        what: A commit, a run or a version.
        say: Takes each line about the progress, and the comparison.
        own_packages: Whether to build an environment from the state's own constraints.

    Raises:
        UserError: If nothing is called so, an object of its data cannot be had, or a stage fails.
    """
    with locked_and_recovered(root, "tunesmith reproduce"):
        target = resolve_target(root, what)
        say(f"retraining {describe_target(target)}")
        state = check_out_state(root, target.commit)
        recorded = move_outputs_away(state)
        then = recorded.release["environment"]
        python = build_environment(root, state.tree, then["python"]) if own_packages else sys.executable
        now = probe_machine(python, state.tree)
        before = known_differences(state, then, now)
        for difference in before:
            say(f"  changed: {difference}")
        run_every_stage(state, python, say)
        outcome = compare_and_judge(state, recorded, before, say)
        if target.origin is not None:
            tag_origin(root, target.origin, reproduction_tags(outcome, now))
        if outcome.result != "differs":
            remove_worktree(root, REPRODUCE_WORKTREE)
    return outcome


def describe_target(target: ReproductionTarget) -> str:
    """Describe the model that is retrained."""
    if target.origin is None:
        return f"commit {target.commit[:12]}, without a run in MLflow"
    version = target.origin.version
    return f"{version.name} version {version.number} (run {target.origin.run_id[:8]}, commit {target.commit[:12]})"


def probe_machine(python: str, folder: Path) -> dict[str, Any]:
    """Describe this machine, and the packages that an interpreter has, in the words of `pipeline.finetune.environment`.

    Raises:
        UserError: If the interpreter cannot load what the stages need.
    """
    # -P: the folder of that file holds a module named as one of Python's own.
    process = subprocess.run(
        [python, "-P", str(MACHINE_PROBE)],
        cwd=folder, env=child_environment(), check=False, capture_output=True, text=True,
    )  # fmt: skip
    if process.returncode:
        words = process.stderr.strip().splitlines() or ["ended without a word"]
        raise UserError(python, f"cannot run the stages: {words[-1]}", do="`make setup`, or try it with --env")
    machine: dict[str, Any] = json.loads(process.stdout)
    return machine


def known_differences(state: WorktreeState, then: dict[str, Any], now: dict[str, Any]) -> list[InputDifference]:
    """List every difference that is known before the first stage runs."""
    return [
        *input_differences(state.tree, state.lock),
        *param_differences(state.lock, read_yaml(state.tree / "params.yaml")),
        *package_differences(then["packages"], pinned_versions(state.tree), now["packages"]),
        *machine_differences(then, now),
    ]


def run_every_stage(state: WorktreeState, python: str, say: PrintLine) -> None:
    """Run every stage in its order.

    Raises:
        StageFailed: With the line that a stage gave as its reason.
    """
    for stage in state.lock:
        say(f"  {stage:<10} ...")
        started = time.monotonic()
        run_stage_without_dvc(state.tree, stage, python)
        say(f"  {stage:<10} ran ({time.monotonic() - started:.0f} s)")


def run_stage_without_dvc(tree: Path, stage: str, python: str) -> None:
    """Run one stage as dvc.yaml says it, yet without DVC: nothing can then come from a cache.

    The worktree is where Python looks first, so it is the state's own code that runs.

    Raises:
        StageFailed: With the line that it gave as its reason.
    """
    journal = RunJournal(state_dir(tree) / "journal.jsonl")
    before = len(journal.entries())
    own = {
        "TUNESMITH_JOURNAL": str(journal.path),
        "TORCHINDUCTOR_CACHE_DIR": str(state_dir(tree) / "compiled"),
    }
    code, output = run_streaming(
        [python, "-m", f"pipeline.{stage}"], tree, child_environment(**own), OutputFilter(print_output, len)
    )
    if code:
        raise StageFailed(stage, failure_reason(journal.entries()[before:], output, code))


def compare_and_judge(
    state: WorktreeState, recorded: RunEvidence, before: Sequence[InputDifference], say: PrintLine
) -> ReproductionResult:
    """Compare step by step, report and judge."""
    found = read_evidence(state.current_digests(), state.tree)
    differences = [*before, *base_difference(recorded, found)]
    steps = compare_evidence(state.sources, recorded, found)
    outcome = judge_steps(steps, differences, list(state.lock))
    for line in reproduction_report(steps, outcome, elsewhere=bool(changes_machine_kind(differences))):
        say(line)
    return outcome


def base_difference(recorded: RunEvidence, found: RunEvidence) -> list[InputDifference]:
    """Say whether the base model is another one: its tokenizer is used from the third stage on."""
    then, now = (one.release["digests"]["base"] for one in (recorded, found))
    return [] if then == now else [InputDifference("base model", "", then[:12], now[:12], "tokenize")]


def reproduction_report(steps: Sequence[ComparisonStep], outcome: ReproductionResult, *, elsewhere: bool) -> list[str]:
    """Put the comparison and the outcome into lines."""
    head = f"\n{'step':<20} {'recorded':<12}  {'found':<12}"
    words = [f"  {why}" for why in outcome.reasons]
    if outcome.result == "differs":
        tree = f".tunesmith/{REPRODUCE_WORKTREE}"
        looked = f"look at    {tree} (made now) and {tree}/.tunesmith/{RECORDED_FOLDER} (recorded)"
        return [
            head,
            *(step.format_line(elsewhere=elsewhere) for step in steps),
            f"{outcome}; likely cause:",
            *words,
            looked,
        ]
    return [head, *(step.format_line(elsewhere=elsewhere) for step in steps), f"{outcome}", *words]


def reproduction_tags(outcome: ReproductionResult, now: dict[str, Any]) -> dict[str, str]:
    """Say for MLflow how it ended, why, when, and on what."""
    return {
        "tunesmith.reproduced": str(outcome),
        "tunesmith.reproduced.why": "; ".join(outcome.reasons),
        "tunesmith.reproduced.at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tunesmith.reproduced.on": f"{platform.node()}, {now['device']}, {cpu_kind(now)}",
    }
