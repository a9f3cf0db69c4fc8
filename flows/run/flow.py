"""The flow: each stale stage one task, then verify, snapshot, record."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.champion import store
from flows.review.data_diff import compare_pairs
from flows.run.plan import RunPlan, RunReport
from flows.tracking.outbox import RunRecord, diff_to_values, write_record
from flows.tracking.tags import COMMIT_TAG, SNAPSHOT_TAG
from flows.vcs.dvc import RunJournal, StageOutcome, reproduce_stage
from flows.vcs.dvc_lock import verify_outputs
from flows.vcs.input_guard import require_unchanged
from flows.vcs.output_filter import OutputFilter, PrintLine, print_output
from flows.vcs.remote import push_data, push_state
from flows.vcs.snapshot import write_snapshot
from flows.vcs.states import RELEASE_PATH, restore_predictions, restore_release
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.hashing import file_sha256
from pipeline.holdout.reuse import record_last_use
from pipeline.holdout.scored_prompts import record_scored_prompts


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{stage}")
def stage_task(stage: str, plan: RunPlan, live: Path, *, force: bool) -> StageOutcome:
    """Bring one stage up to date through DVC."""
    logger = get_run_logger()
    screen = OutputFilter(print_output, logger.info)
    return reproduce_stage(plan.root, stage, RunJournal(plan.folder / "journal.jsonl"), screen, force=force, live=live)


@flow(name="retrain", flow_run_name="{name}", persist_result=False, validate_parameters=False)
def run_stages_flow(name: str, plan: RunPlan, report: RunReport, say: PrintLine) -> None:  # noqa: ARG001 -- the name is shown by Prefect
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
        outcome = stage_task.with_options(name=stage)(stage, plan, live, force=forced)
        if plan.held:
            require_unchanged(plan.root, plan.held, stage)
        seconds = time.monotonic() - started
        report.stages[stage] = (outcome, seconds)
        moved = moved or outcome != "fresh"
        say(f"  {stage:<10} {OUTCOME_WORDS[outcome]} ({seconds:.0f} s)")


def mark_crashed(root: Path) -> None:
    """Mark as crashed what a killed process left running in Prefect; called under the lock, so none of it is alive."""
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter(state=running, tags=FlowRunFilterTags(all_=[str(root)]))
        for left in client.read_flow_runs(flow_run_filter=wanted):
            if str(left.id) != flow_run.id:
                client.set_flow_run_state(left.id, Crashed(message="its process was killed"), force=True)


OUTCOME_WORDS = {"ran": "ran", "cached": "restored from the cache", "fresh": "fresh, skipped"}


def run_plan(plan: RunPlan, say: PrintLine, ready: Callable[[], None]) -> RunReport:
    """Do a plan: bring the stages up to date, check every output, keep the state, record it all in MLflow.

    Args:
        plan: What to do; the caller holds the checkout's lock since before it was made.
        say: Takes each line about the progress.
        ready: Returns when Prefect's server answers.

    Raises:
        UserError: With the failing stage's own line; the run in MLflow then ends FAILED with it.
    """
    from flows.tracking.flush import flush_or_defer  # noqa: PLC0415
    from flows.tracking.runs import begin_mlflow_run, close_killed_runs, stream_history  # noqa: PLC0415 -- MLflow takes seconds to import

    report, name = RunReport(), plan.folder.name
    plan.folder.mkdir(parents=True)
    close_killed_runs(plan.root, plan.params)
    run = begin_mlflow_run(plan.root, plan.params, name)
    report.run_id, started = run.id, time.time()
    try:
        if plan.stale or plan.force:
            plan = prepare_run(plan)
        ready()
        with stream_history(run, plan.folder / "live.jsonl"), tags(str(plan.root)):
            run_stages_flow(name, plan, report, say)
        verify_outputs(plan.root, list(plan.stages))
        write_record(plan.folder, finish_run(plan, report, RunRecord(run.id, "FINISHED", started)))
    except BaseException as error:
        why = {"tunesmith.error": f"{error}" or type(error).__name__}
        write_record(plan.folder, RunRecord(run.id, "FAILED", started, why))
        flush_or_defer(plan.root, plan.folder, plan.params)
        raise
    finally:
        APILogWorker.drain_all(timeout=10)  # the server may go when this returns
    version, report.unlogged = flush_or_defer(plan.root, plan.folder, plan.params)
    report.version = f"{version.name} version {version.number}" if version else ""
    return report


def prepare_run(plan: RunPlan) -> RunPlan:
    """Show the stages the champion of now, which rows were tested and which decided: there is to be a new candidate.

    The data checks look at the first two: they compare the rows with the champion's, and keep what was tested from
    training. The gate counts the decisions.
    """
    shown = store.show_current_champion(plan.root, plan.params.register.name)
    restore_release(plan.root)
    noted = record_last_use(plan.root / "data")
    stale = plan.stale | {stage for stage, moved in (("validate", shown), ("register", noted)) if moved}
    stale &= set(plan.stages)
    if {"ingest", "validate"} & (stale | {plan.force}):
        restore_predictions(plan.root)
        record_scored_prompts(plan.root / "data")
    return replace(plan, stale=stale)


def finish_run(plan: RunPlan, report: RunReport, account: RunRecord) -> RunRecord:
    """Keep the state of the tree and the champion, push the data if there is a remote; return the record for MLflow.

    Nothing here asks MLflow: it may be away, and what a run made is whole without it.
    """
    change, why_not = describe_data_change(
        plan.root
    )  # before this run is the last state, and its model perhaps the champion
    state = write_snapshot(plan.root, plan.folder.name, plan.held.begun if plan.held else None)
    if plan.complete:
        store.accept_champion(plan.root, read_json(plan.root / RELEASE_PATH), state.commit)
    report.remote = push_data(plan.root, state.commit)
    report.pushed = push_state(plan.root, plan.folder.name)
    tags = {
        COMMIT_TAG: state.head,
        SNAPSHOT_TAG: state.commit,
        "git.clean": str(state.clean),
        "data.remote": report.remote,
        "git.remote": report.pushed,
        **{f"stage.{stage}": f"{outcome} {seconds:.1f} s" for stage, (outcome, seconds) in report.stages.items()},
        **why_not,
    }
    release = file_sha256(plan.root / RELEASE_PATH) if plan.complete else None
    return replace(account, tags=tags, state=state, release=release, change=change)


def describe_data_change(root: Path) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Say how the pairs changed since the champion, or the last run; or, as a tag, why that is not known."""
    try:
        return diff_to_values(*compare_pairs(root, fresh=True)), {}
    except UserError as problem:  # what is gone of the past does not spoil the run
        return None, {"difference.decision": f"not known: {problem}"}
