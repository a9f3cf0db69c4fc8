"""A run from its begin to its end: its curves while it trains, and how it ended."""

import getpass
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException

from flows.tracking.client import experiment_id, mlflow_client
from pipeline.params import Params

METRICS_PER_CALL = 900
"""Metrics to a call; MLflow takes up to 1000."""
SHIP_SECONDS = 2.0
MAX_VALUE_LENGTH = 5000
"""Longest value of a tag or a parameter."""


@dataclass(frozen=True)
class TrackingRun:
    """A run in MLflow."""

    root: Path
    id: str

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags."""
        values = [RunTag(key, str(value)[:MAX_VALUE_LENGTH]) for key, value in tags.items()]
        mlflow_client(self.root).log_batch(self.id, tags=values)

    def log_table_once(self, rows: pd.DataFrame, path: str) -> None:
        """Put a table into the run, once: MLflow would put the rows behind those that are there."""
        connected = mlflow_client(self.root)
        if path not in {item.path for item in connected.list_artifacts(self.id, path.rpartition("/")[0])}:
            connected.log_table(self.id, rows, path)

    def end(self, status: str) -> None:
        """End the run as FINISHED or FAILED."""
        mlflow_client(self.root).set_terminated(self.id, status)


def begin_mlflow_run(root: Path, params: Params, name: str) -> TrackingRun:
    """Begin a run, with everything that params.yaml says."""
    connected = mlflow_client(root)
    tags = {"mlflow.user": getpass.getuser(), "mlflow.source.name": "tunesmith", "tunesmith.checkout": str(root)}
    run = connected.create_run(experiment_id(root, params.register.name), run_name=name, tags=tags)
    connected.log_batch(
        run.info.run_id, params=[Param(key, value[:MAX_VALUE_LENGTH]) for key, value in flatten_params(params).items()]
    )
    return TrackingRun(root, run.info.run_id)


def flatten_params(params: Params) -> dict[str, str]:
    """Flatten params.yaml to dotted names."""
    flat: dict[str, str] = {}
    for section in params.__dataclass_fields__:
        for field, value in getattr(params, section).model_dump(mode="json").items():
            flat[f"{section}.{field}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return {key: value for key, value in flat.items() if value}


def close_killed_runs(root: Path, params: Params) -> int:
    """End as KILLED what a killed process left running; called under the checkout's lock, so none is alive."""
    connected = mlflow_client(root)
    running = connected.search_runs([experiment_id(root, params.register.name)], "attributes.status = 'RUNNING'")
    left = [run for run in running if run.data.tags.get("tunesmith.checkout") == str(root)]
    for run in left:
        connected.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
    return len(left)


def ship_points(run: TrackingRun, points: list[dict[str, Any]]) -> None:
    """Send points of the curves, leaving out those that the run has already."""
    connected, now = mlflow_client(run.root), int(time.time() * 1000)
    metrics = [
        Metric(name.replace("_", "/", 1), float(value), now, int(point["step"]))  # "/" makes a group of charts
        for point in points
        for name, value in point.items()
        if name not in {"step", "epoch"}
    ]
    names = {metric.key for metric in metrics}
    there = {(name, metric.step) for name in names for metric in connected.get_metric_history(run.id, name)}
    metrics = [metric for metric in metrics if (metric.key, metric.step) not in there]
    for start in range(0, len(metrics), METRICS_PER_CALL):
        connected.log_batch(run.id, metrics=metrics[start : start + METRICS_PER_CALL])


def read_points(history: Path) -> list[dict[str, Any]]:
    """Read the points of the curves; a line that is still being written is left for later."""
    if not history.exists():
        return []
    return [
        json.loads(line)
        for line in history.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.endswith("\n")
    ]


@contextmanager
def stream_history(run: TrackingRun, history: Path) -> Iterator[None]:
    """Send the points of a growing file while the training writes it.

    A database that does not answer never stops the training: what was not sent is sent when the run is recorded.
    """
    over = threading.Event()

    def follow() -> None:
        sent = 0
        while not over.wait(SHIP_SECONDS):
            points = read_points(history)
            try:
                if points[sent:]:
                    ship_points(run, points[sent:])
            except (MlflowException, OSError):
                continue
            sent = len(points)

    thread = threading.Thread(target=follow, name="curves", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=60)
