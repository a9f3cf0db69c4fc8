"""What a run that stopped at its data shows in MLflow: the reasons as a table, and the page."""

import pandas as pd

from flows.data import refused
from flows.record.runs import Run
from flows.record.store import client
from pipeline.pairs import read_json


def show_refused(run: Run, started: float) -> None:
    """Put what the checks found into the run, if it was they that stopped it, since it started (seconds)."""
    folder = refused(run.root)
    if folder is None or (folder / "report.json").stat().st_mtime < started:
        return
    report = read_json(folder / "report.json")
    why = {"reason": "stopped", "expects": report["stopped"], "action": "error", "rows": report["rows"]["in"]}
    broken = [why, *(check for check in report["checks"] if check["rows"])]
    connected = client(run.root)
    run.table(pd.DataFrame(broken).fillna(""), "data/reasons.json")
    connected.log_artifact(run.id, str(folder / "report.html"), "data")
    connected.log_artifacts(run.id, str(folder / "data_docs"), "data/data_docs")
