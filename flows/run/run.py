"""One run from its lock to its end; what is fresh costs neither a server nor a library that is slow to import."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flows.run.plan import Plan, Report, idle, make_plan
from flows.service.servers import prefect
from flows.tracking.outbox import untold
from flows.vcs.input_guard import hold
from flows.vcs.recovery import whole
from pipeline.params import load_params


def run(root: Path, until: str | None, force: str | None, say: Callable[[str], None]) -> tuple[Plan, Report | None]:
    """Lock the checkout, see what is stale, and do it; no report if there was nothing to do.

    Raises:
        Problem: If another run holds the checkout, params.yaml is wrong, or a stage fails.
    """
    with whole(root, "tunesmith run"):
        if untold(root):
            from flows.tracking.flush import catch_up  # noqa: PLC0415 -- MLflow takes seconds to import

            for line in catch_up(root, load_params(root / "params.yaml")):
                say(line)
        plan = make_plan(root, until, force)
        if idle(plan):
            return plan, None
        held = hold(root)
        plan = replace(make_plan(root, until, force), held=held)  # looked at anew, now that nothing can slip by
        with prefect(root) as ready:
            from flows.run.flow import retrain  # noqa: PLC0415 -- Prefect reads its settings when it is imported

            return plan, retrain(plan, say, ready)
