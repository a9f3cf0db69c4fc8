"""What a run shows of the change of the pairs: the decision as tags, the numbers and the first rows as tables."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from flows.review.data_diff import DiffBase
from flows.review.data_findings import stopped_findings
from flows.tracking.client import mlflow_client
from flows.tracking.runs import TrackingRun
from pipeline.files import read_json


def log_data_diff(run: TrackingRun, against: DiffBase, compared: Mapping[str, Any]) -> None:
    """Put a comparison of the pairs with those of the past into the run."""
    change, decision = compared["change"], compared["decision"]
    run.set_tags(
        {
            "difference.against": f"{against.label} ({against.state.commit})",
            "difference.decision": decision["outcome"],
            "difference.reasons": "; ".join(decision["reasons"]),
        }
    )
    counts = [
        {"change": kind, "training or validation": change["learnt"][kind], "test": change["tested"][kind]}
        for kind in change["learnt"]
    ]
    labels = [
        {"label": label, "change": word, "rows": rows}
        for word in ("new", "vanished")
        for label, rows in change[f"{word}_labels"].items()
    ]
    tables = {"rows": counts, "labels": labels, "examples": compared["examples"]}
    for name, rows in tables.items():
        if rows:
            run.log_table_once(pd.DataFrame(rows), f"difference/{name}.json")
    for name, moved in change["drift"].items():
        mlflow_client(run.root).log_metric(run.id, f"drift/{name}", moved)


def log_stopped_findings(run: TrackingRun, started: float) -> None:
    """Put what the checks found into the run, if it was they that stopped it, since it started (seconds)."""
    folder = stopped_findings(run.root)
    if folder is None or (folder / "report.json").stat().st_mtime < started:
        return
    report = read_json(folder / "report.json")
    why = {"reason": "stopped", "expects": report["stopped"], "action": "error", "rows": report["rows"]["in"]}
    broken = [why, *(check for check in report["checks"] if check["rows"])]
    connected = mlflow_client(run.root)
    run.log_table_once(pd.DataFrame(broken).fillna(""), "data/reasons.json")
    connected.log_artifact(run.id, str(folder / "report.html"), "data")
    connected.log_artifacts(run.id, str(folder / "data_docs"), "data/data_docs")
