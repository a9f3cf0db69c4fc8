"""One run from its lock to its end; what is fresh costs neither a server nor a library that is slow to import."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flows.run.plan import RunPlan, RunReport, make_plan, nothing_to_do
from flows.service.servers import prefect_server
from flows.tracking.outbox import pending_runs
from flows.vcs.input_guard import guard_inputs
from flows.vcs.recovery import locked_and_recovered
from pipeline.params import load_params


def run_project(
    root: Path, until: str | None, force: str | None, say: Callable[[str], None]
) -> tuple[RunPlan, RunReport | None]:
    """Lock the checkout, see what is stale, and do it; no report if there was nothing to do.

    Raises:
        UserError: If another run holds the checkout, params.yaml is wrong, or a stage fails.
    """
    with locked_and_recovered(root, "tunesmith run"):
        if pending_runs(root):
            from flows.tracking.flush import flush_pending  # noqa: PLC0415 -- MLflow takes seconds to import

            for line in flush_pending(root, load_params(root / "params.yaml")):
                say(line)
        plan = make_plan(root, until, force)
        if nothing_to_do(plan):
            return plan, None
        held = guard_inputs(root)
        plan = replace(make_plan(root, until, force), held=held)  # looked at anew, now that nothing can slip by
        with prefect_server(root) as ready:
            from flows.run.flow import run_plan  # noqa: PLC0415 -- Prefect reads its settings when it is imported

            return plan, run_plan(plan, say, ready)
