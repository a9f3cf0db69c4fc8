"""Model versions and their aliases: one version for each different model, whatever number of runs made it."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from flows.tracking.client import mlflow_client
from flows.tracking.runs import TrackingRun
from flows.tracking.tags import SNAPSHOT_TAG

CHAMPION_NAME, PREVIOUS_NAME, CHALLENGER_NAME = "champion", "previous", "challenger"
ADAPTER_TAG = "tunesmith.adapter"


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model."""

    name: str
    number: str

    def state_commit(self, root: Path) -> str | None:
        """The commit of the state that made it, as its tags name it."""
        commit = mlflow_client(root).get_model_version(self.name, self.number).tags.get(SNAPSHOT_TAG)
        return None if commit is None else str(commit)


def find_version(root: Path, name: str, adapter: str) -> ModelVersion | None:
    """Find the version whose adapter has this digest."""
    versions = mlflow_client(root).search_model_versions(f"name = '{name}' AND tags.`{ADAPTER_TAG}` = '{adapter}'")
    return ModelVersion(name, str(versions[0].version)) if versions else None


def register_version(
    run: TrackingRun, release: Mapping[str, Any], adapter: Path, tags: Mapping[str, object]
) -> ModelVersion:
    """Register the model of a release, unless its version is there already.

    The model holds the adapter and the release; it finds the base by its digest when it is loaded.
    """
    connected, name = mlflow_client(run.root), str(release["name"])
    known = find_version(run.root, name, release["digests"]["adapter"])
    if known is not None:
        return known
    try:
        connected.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = log_model(run, release, adapter)
    values = {ADAPTER_TAG: release["digests"]["adapter"], **tags}
    made = connected.create_model_version(
        name, source.model_uri, run.id, tags={key: str(value) for key, value in values.items()},
        description="; ".join(release["reasons"]), model_id=source.model_id,
    )  # fmt: skip
    return ModelVersion(name, str(made.version))


def log_model(run: TrackingRun, release: Mapping[str, Any], adapter: Path) -> Any:
    """Log the model: the adapter, the release, and the code that loads them."""
    packages = release["environment"]["packages"]
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        described = Path(scratch) / "release.json"
        described.write_text(json.dumps(release, indent=2, sort_keys=True), encoding="utf-8")
        with mlflow.start_run(run_id=run.id):
            return mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("pyfunc.py")),
                artifacts={"adapter": str(adapter), "release": str(described)},
                code_paths=[str(run.root / "pipeline")],
                pip_requirements=[f"{package}=={number}" for package, number in packages.items()],
            )


def set_alias(root: Path, version: ModelVersion, alias: str) -> None:
    """Point an alias at a version."""
    mlflow_client(root).set_registered_model_alias(version.name, alias, version.number)


def version_of_alias(root: Path, name: str, alias: str) -> ModelVersion | None:
    """Find the version that an alias points at."""
    try:
        return ModelVersion(name, str(mlflow_client(root).get_model_version_by_alias(name, alias).version))
    except MlflowException:
        return None


def drop_alias(root: Path, name: str, alias: str) -> None:
    """Take an alias away."""
    mlflow_client(root).delete_registered_model_alias(name, alias)
