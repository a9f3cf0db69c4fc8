"""Queries of the runs and versions that MLflow has."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from flows.tracking.client import experiment_id, mlflow_client
from flows.tracking.runs import TrackingRun
from flows.tracking.tags import SNAPSHOT_TAG, VERSION_TAG
from flows.tracking.versions import ModelVersion, version_of_alias

PAGE_SIZE = 1000


@dataclass(frozen=True)
class TrackedRun:
    """A run: its id, how it ended, its tags, and the last value of each metric."""

    id: str
    name: str
    status: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrackedVersion:
    """A version of a model: its number, the run that it says made it, its tags, and the aliases that point at it."""

    number: str
    run: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    created_ms: int
    """Milliseconds since 1970, UTC."""


def list_runs(root: Path, name: str) -> Iterator[TrackedRun]:
    """List the runs of a model name, the newest first; deleted ones are none."""
    token: str | None = None
    while token != "":
        page = mlflow_client(root).search_runs([experiment_id(root, name)], max_results=PAGE_SIZE, page_token=token)
        for run in page:
            yield TrackedRun(run.info.run_id, run.info.run_name, run.info.status, run.data.tags, run.data.metrics)
        token = page.token or ""


def list_versions(root: Path, name: str) -> list[TrackedVersion]:
    """List the versions of a model name, the oldest first."""
    try:
        aliases = mlflow_client(root).get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return []
    versions = [
        TrackedVersion(
            number=str(version.version),
            run=version.run_id or "",
            tags=version.tags,
            aliases=tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))),
            created_ms=int(version.creation_timestamp),
        )
        for version in mlflow_client(root).search_model_versions(f"name = '{name}'", max_results=PAGE_SIZE)
    ]
    return sorted(versions, key=lambda version: int(version.number))


@dataclass(frozen=True)
class VersionOrigin:
    """A run that gave a model version: the state that it was made from, empty if none is recorded."""

    run_id: str
    commit: str
    version: ModelVersion


def origin_by_version(root: Path, name: str, number: str) -> VersionOrigin | None:
    """Find the run that gave a version of a model; None if there is no such version."""
    try:
        version = mlflow_client(root).get_model_version(name, number)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return VersionOrigin(str(version.run_id), version.tags.get(SNAPSHOT_TAG, ""), ModelVersion(name, number))


def origin_by_alias(root: Path, name: str, alias: str) -> VersionOrigin | None:
    """Find the run that gave the version which an alias points at."""
    version = version_of_alias(root, name, alias)
    return None if version is None else origin_by_version(root, version.name, version.number)


def origins_by_run(root: Path, prefix: str) -> list[VersionOrigin]:
    """Find the runs that gave a version and whose id begins so."""
    return matching_origins(root, f"attributes.run_id LIKE '{prefix}%'")


def origin_by_commit(root: Path, commit: str) -> VersionOrigin | None:
    """Find the newest run that was made from a commit: from that exact state, else from a clean tree at it."""
    exact = matching_origins(root, f"tags.`{SNAPSHOT_TAG}` = '{commit}'")
    origins = exact or matching_origins(root, f"tags.`git.commit` = '{commit}' AND tags.`git.clean` = 'True'")
    return origins[0] if origins else None


def matching_origins(root: Path, condition: str) -> list[VersionOrigin]:
    """List the runs with a version that a condition holds for, the newest first."""
    connected = mlflow_client(root)
    experiments = {each.experiment_id: each.name for each in connected.search_experiments()}
    runs = connected.search_runs(
        list(experiments), f"{condition} AND tags.`{VERSION_TAG}` != ''", order_by=["attributes.start_time DESC"]
    )
    return [origin_of_run(run, experiments[run.info.experiment_id]) for run in runs]


def origin_of_run(run: MlflowRun, name: str) -> VersionOrigin:
    """Describe a run of the experiment of a model name."""
    tags = run.data.tags
    return VersionOrigin(str(run.info.run_id), tags.get(SNAPSHOT_TAG, ""), ModelVersion(name, tags[VERSION_TAG]))


def tag_origin(root: Path, made: VersionOrigin, tags: Mapping[str, str]) -> None:
    """Put tags on a run and on the version that it gave."""
    TrackingRun(root, made.run_id).set_tags(tags)
    for key, value in tags.items():
        mlflow_client(root).set_model_version_tag(made.version.name, made.version.number, key, value)
