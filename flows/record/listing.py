"""The runs and versions that MLflow has, as they are told there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from flows.record.store import client, experiment

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
