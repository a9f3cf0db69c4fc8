"""The flow: lock, check, each stale stage one task, verify, snapshot, record."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow, get_client, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows import champion
from flows.lock import only_run
from flows.marker import mark, marked
from flows.place import private
from flows.repro import Journal, Outcome, bring_up_to_date, stages, status, track_raw
from flows.screen import Screen
from flows.snapshot import head, snapshot, verify
from pipeline.params import Params, load_params
from pipeline.problem import Problem

if TYPE_CHECKING:
    from flows.record.runs import Run

Say = Callable[[str], None]


@dataclass
class Report:
    """What a run did: the outcome and seconds of each stage, where it is recorded, and as which version."""

    stages: dict[str, tuple[Outcome, float]] = field(default_factory=dict)
    run_id: str = ""
    version: str = ""


@dataclass(frozen=True)
class Plan:
    """What a run is to do, decided before it begins."""

    root: Path
    params: Params
    stages: tuple[str, ...]
    stale: frozenset[str]
    force: str | None
    folder: Path

    @property
    def complete(self) -> bool:
        """Whether the run goes on to a release."""
        return self.stages[-1] == "register"


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{stage}")
def bring(stage: str, plan: Plan, live: Path, *, force: bool) -> Outcome:
    """Bring one stage up to date through DVC."""
    logger = get_run_logger()

    def write(seen: bytes) -> None:
        sys.stderr.buffer.write(seen)
        sys.stderr.flush()

    screen = Screen(write, logger.info)
    return bring_up_to_date(plan.root, stage, Journal(plan.folder / "journal.jsonl"), screen, force=force, live=live)


@flow(name="retrain", flow_run_name="{name}", persist_result=False, validate_parameters=False)
def run_stages(name: str, plan: Plan, report: Report, say: Say) -> None:  # noqa: ARG001 -- the name is shown by Prefect
    """Run the stages in their order; the first that fails ends the flow."""
    mark_crashed(plan.root)
    live, moved = plan.folder / "live.jsonl", False
    for stage in plan.stages:
        forced = stage == plan.force
        if not (moved or forced or stage in plan.stale):
            report.stages[stage] = ("fresh", 0.0)
            say(f"  {stage:<10} fresh, skipped")
            continue
        say(f"  {stage:<10} ...")
        started = time.monotonic()
        outcome = bring.with_options(name=stage)(stage, plan, live, force=forced)
        seconds = time.monotonic() - started
        report.stages[stage] = (outcome, seconds)
        moved = moved or outcome != "fresh"
        say(f"  {stage:<10} {WORDS[outcome]} ({seconds:.0f} s)")


def mark_crashed(root: Path) -> None:
    """Mark as crashed what a killed process left running in Prefect; called under the lock, so none of it is alive."""
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter(state=running, tags=FlowRunFilterTags(all_=[str(root)]))
        for left in client.read_flow_runs(flow_run_filter=wanted):
            if str(left.id) != flow_run.id:
                client.set_flow_run_state(left.id, Crashed(message="its process was killed"), force=True)


WORDS = {"ran": "ran", "cached": "restored from the cache", "fresh": "fresh, skipped"}


def make_plan(folder: Path, until: str | None, force: str | None) -> Plan:
    """Check the parameters and see what is stale, before anything is started.

    Raises:
        Problem: If params.yaml is wrong, a stage is unknown, or there is no commit to keep the run with.
    """
    params = load_params(folder / "params.yaml")
    head(folder)
    names = stages(folder)
    for name in (until, force):
        if name is not None and name not in names:
            raise Problem(name, "no such stage", expected=", ".join(names))
    track_raw(folder)
    chosen = tuple(names[: names.index(until) + 1] if until else names)
    stale = frozenset(status(folder)) & set(chosen)
    runs = private(folder) / "runs" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return Plan(folder, params, chosen, stale, force, runs)


def idle(plan: Plan) -> bool:
    """Say whether there is nothing to do: no stage stale or forced, and this very release recorded."""
    return not plan.stale and plan.force is None and (not plan.complete or marked(plan.root))


def retrain(plan: Plan, say: Say) -> Report:
    """Do a plan: bring the stages up to date, check every output, keep the state, record it all in MLflow.

    Raises:
        Problem: With the failing stage's own line; the run in MLflow then ends FAILED with it.
    """
    from flows.record.runs import begin, close_dead, live  # noqa: PLC0415 -- MLflow takes seconds to import

    report = Report()
    with only_run(plan.root, "tunesmith run"):
        plan.folder.mkdir(parents=True)
        name = plan.folder.name
        close_dead(plan.root, plan.params)
        run = begin(plan.root, plan.params, name)
        report.run_id = run.id
        run.tag({"tunesmith.checkout": plan.root, "tunesmith.run": name})
        try:
            if plan.stale or plan.force:
                champion.refresh(plan.root, plan.params.register.name)
            with live(run, plan.folder / "live.jsonl"), tags(str(plan.root)):
                run_stages(name, plan, report, say)
            verify(plan.root, list(plan.stages))
            finish(plan, run, report)
        except BaseException as error:
            run.tag({"tunesmith.error": f"{error}" or type(error).__name__})
            run.end("FAILED")
            raise
        run.end("FINISHED")
    return report


def finish(plan: Plan, run: "Run", report: Report) -> None:
    """Keep the state of the tree, and record the release if the run went that far."""
    from flows.record.release import record  # noqa: PLC0415

    state = snapshot(plan.root, plan.folder.name)
    run.tag({"git.commit": state.head, "git.snapshot": state.commit, "git.clean": state.clean})
    run.tag({f"stage.{stage}": f"{outcome} {seconds:.1f} s" for stage, (outcome, seconds) in report.stages.items()})
    if plan.complete:
        version = record(run, state)
        report.version = f"{version.name} version {version.number}"
        mark(plan.root)
