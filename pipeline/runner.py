"""The process round a stage: params, logging, and errors in one line."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import UserError
from pipeline.params import Params, load_params
from pipeline.process import die_with_parent, die_with_run

JOURNAL_VARIABLE = "TUNESMITH_JOURNAL"
"""Environment: a file that gets a line of JSON when a stage starts, and one when it ends."""


def main(run: Callable[[Params, Path], None]) -> None:
    """Run a stage in the current project as a process of its own.

    Exits with 1 and one line on stderr when the user can put the fault right; any other exception is left alone.

    Args:
        run: The stage: reads and writes below the data folder it is given.
    """
    die_with_parent()
    die_with_run()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for chatty in ("bm25s", "httpx", "httpx2", "openai", "great_expectations", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    started = time.monotonic()
    journal(event="start", pid=os.getpid())
    try:
        run(load_params(Path("params.yaml")), Path("data"))
    except UserError as problem:
        journal(event="problem", line=str(problem))
        sys.exit(f"error: {problem}")
    journal(event="end", seconds=round(time.monotonic() - started, 2))


def journal(**entry: object) -> None:
    """Append an entry to the run's journal, if there is one: proof that the stage ran, outside what DVC keeps."""
    path = os.environ.get(JOURNAL_VARIABLE)
    alone = os.environ.get("RANK", "0") == "0"  # of several processes only the first tells that it started and ended
    if path and (alone or entry["event"] == "problem"):
        with Path(path).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"time": time.time(), **entry}) + "\n")
