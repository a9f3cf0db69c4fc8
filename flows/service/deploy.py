"""The flow that `prefect.yaml` deploys: one run of this checkout, by a worker of a team's own Prefect server."""

import sys

from prefect import flow

from flows.paths import root
from flows.vcs.dvc import words_of
from flows.vcs.subprocesses import environment, follow
from pipeline.errors import Problem


@flow(name="tunesmith run", persist_result=False)
def run_checkout(until: str | None = None) -> None:
    """Run `tunesmith run` in the checkout that is the working directory; its stages are a flow run of their own.

    Args:
        until: The last stage to run; all of them if none is named.

    Raises:
        Problem: With the run's own line, if it fails.
    """
    folder = root()
    command = [sys.executable, "-m", "flows.cli", "run", *(["--until", until] if until else [])]
    code, output = follow(command, folder, apart(), show)
    if code:
        raise Problem(str(folder), f"the run failed: {words_of([], output, code).removeprefix('error: ')}")


def apart() -> dict[str, str]:
    """The environment of the run: what Prefect says of this flow run in its own is not true of another."""
    return {name: value for name, value in environment().items() if not name.startswith("PREFECT__")}


def show(chunk: bytes) -> None:
    """Pass on what the run prints to the worker's log."""
    sys.stderr.buffer.write(chunk)
    sys.stderr.flush()
