"""The runs and versions that MLflow has, as they are told there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from flows.tracking.client import client, experiment
from flows.tracking.runs import Run
from flows.tracking.versions import Version, alias_of

PAGE = 1000


@dataclass(frozen=True)
class Recorded:
    """A run: its id, how it ended, and its tags."""

    id: str
    name: str
    status: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Registered:
    """A version of a model: its number, the run that it says made it, its tags, and the aliases that point at it."""

    number: str
    run: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


def runs(root: Path, name: str) -> Iterator[Recorded]:
    """List the runs of a model name, the newest first; deleted ones are none."""
    token: str | None = None
    while token != "":
        page = client(root).search_runs([experiment(root, name)], max_results=PAGE, page_token=token)
        for run in page:
            yield Recorded(run.info.run_id, run.info.run_name, run.info.status, run.data.tags)
        token = page.token or ""


def versions(root: Path, name: str) -> list[Registered]:
    """List the versions of a model name, the oldest first."""
    try:
        aliases = client(root).get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return []
    found = [
        Registered(
            number=str(version.version),
            run=version.run_id or "",
            tags=version.tags,
            aliases=tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))),
        )
        for version in client(root).search_model_versions(f"name = '{name}'", max_results=PAGE)
    ]
    return sorted(found, key=lambda version: int(version.number))


SNAPSHOT, NUMBER = "git.snapshot", "tunesmith.version"


@dataclass(frozen=True)
class Made:
    """A run that gave a model version: the state that it was made from, empty if none is recorded."""

    run_id: str
    commit: str
    version: Version


def by_version(root: Path, name: str, number: str) -> Made | None:
    """Find the run that gave a version of a model; None if there is no such version."""
    try:
        found = client(root).get_model_version(name, number)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return Made(str(found.run_id), found.tags.get(SNAPSHOT, ""), Version(name, number))


def by_alias(root: Path, name: str, alias: str) -> Made | None:
    """Find the run that gave the version which an alias points at."""
    found = alias_of(root, name, alias)
    return None if found is None else by_version(root, found.name, found.number)


def by_run(root: Path, prefix: str) -> list[Made]:
    """Find the runs that gave a version and whose id begins so."""
    return matching(root, f"attributes.run_id LIKE '{prefix}%'")


def by_commit(root: Path, commit: str) -> Made | None:
    """Find the newest run that was made from a commit: from that exact state, else from a clean tree at it."""
    exact = matching(root, f"tags.`{SNAPSHOT}` = '{commit}'")
    found = exact or matching(root, f"tags.`git.commit` = '{commit}' AND tags.`git.clean` = 'True'")
    return found[0] if found else None


def matching(root: Path, condition: str) -> list[Made]:
    """List the runs with a version that a condition holds for, the newest first."""
    connected = client(root)
    experiments = {each.experiment_id: each.name for each in connected.search_experiments()}
    runs = connected.search_runs(
        list(experiments), f"{condition} AND tags.`{NUMBER}` != ''", order_by=["attributes.start_time DESC"]
    )
    return [made_by(run, experiments[run.info.experiment_id]) for run in runs]


def made_by(run: MlflowRun, name: str) -> Made:
    """Describe a run of the experiment of a model name."""
    tags = run.data.tags
    return Made(str(run.info.run_id), tags.get(SNAPSHOT, ""), Version(name, tags[NUMBER]))


def tell(root: Path, made: Made, tags: Mapping[str, str]) -> None:
    """Put tags on a run and on the version that it gave."""
    Run(root, made.run_id).tag(tags)
    for key, value in tags.items():
        client(root).set_model_version_tag(made.version.name, made.version.number, key, value)
