"""The flow that `prefect.yaml` deploys: one run of this checkout, by a worker of a team's own Prefect server."""

import sys

from prefect import flow

from flows.paths import project_root
from flows.vcs.dvc import failure_reason
from flows.vcs.subprocesses import child_environment, run_streaming
from pipeline.errors import UserError


@flow(name="tunesmith run", persist_result=False)
def run_checkout(until: str | None = None) -> None:
    """Run `tunesmith run` in the checkout that is the working directory; its stages are a flow run of their own.

    Args:
        until: The last stage to run; all of them if none is named.

    Raises:
        UserError: With the run's own line, if it fails.
    """
    folder = project_root()
    command = [sys.executable, "-m", "flows.cli", "run", *(["--until", until] if until else [])]
    code, output = run_streaming(command, folder, clean_environment(), log_output)
    if code:
        raise UserError(str(folder), f"the run failed: {failure_reason([], output, code).removeprefix('error: ')}")


def clean_environment() -> dict[str, str]:
    """The environment of the run: what Prefect says of this flow run in its own is not true of another."""
    return {name: value for name, value in child_environment().items() if not name.startswith("PREFECT__")}


def log_output(chunk: bytes) -> None:
    """Pass on what the run prints to the worker's log."""
    sys.stderr.buffer.write(chunk)
    sys.stderr.flush()
