"""Where MLflow keeps things: a database in the project unless the environment names another, made once."""

import logging
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from flows.paths import mlflow_database, state_dir, tracking_uri, uses_local_mlflow
from pipeline.errors import UserError

EXPERIMENT_KIND = "custom_model_development"
"""Tells MLflow's pages to show training runs first, not traces of a chat application."""


@cache
def mlflow_client(root: Path) -> MlflowClient:
    """Connect to MLflow, making the project's database first if it is not there.

    Raises:
        UserError: If MLflow does not answer.
    """
    uri = tracking_uri(root)
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # each table that it makes is no news
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    # Several processes that make the tables at once destroy each other's work.
    with FileLock(state_dir(root) / "mlflow.lock"):
        client = MlflowClient(uri, uri)
        try:
            client.search_experiments(max_results=1)
        except MlflowException as error:
            reason = error.message.partition(" failed with exception ")[0]  # what follows is a chain of libraries
            raise UserError(
                uri, f"MLflow does not answer: {reason}", do="start it, or unset MLFLOW_TRACKING_URI"
            ) from error
        if uses_local_mlflow(root):
            with closing(sqlite3.connect(mlflow_database(root))) as connection:
                connection.execute("PRAGMA journal_mode=wal")  # readers and writers do not wait for each other
    return client


def experiment_id(root: Path, name: str) -> str:
    """Find or make the experiment of a model name; its files lie in the project unless a server keeps them."""
    connected = mlflow_client(root)
    experiment = connected.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    # A server keeps files itself; a database, whosever it is, cannot.
    served = tracking_uri(root).startswith(("http://", "https://"))
    own = None if served else (state_dir(root) / "mlartifacts").as_uri()
    made = connected.create_experiment(name, artifact_location=own, tags={"mlflow.experimentKind": EXPERIMENT_KIND})
    return str(made)
