"""The versions of a model at a glance, as `tunesmith versions` lists them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.tracking.queries import TrackedRun, TrackedVersion, list_runs, list_versions
from pipeline.arms import FINETUNED
from pipeline.params import Params


@dataclass(frozen=True)
class VersionSummary:
    """A version of a model.

    Args:
        version: Its number.
        aliases: Those that point at it: champion, challenger, previous.
        metric: The metric that the gate goes by.
        value: What the fine-tuned model has of it on the held-out rows; None if MLflow has lost the run.
        verdict: The gate's: promote, keep or unchanged; empty if the run is lost.
        created: When it was registered, ISO 8601 in UTC, to the second.
        run: The id of the run that made it.
    """

    version: str
    aliases: tuple[str, ...]
    metric: str
    value: float | None
    verdict: str
    created: str
    run: str


def summarize_versions(root: Path, params: Params) -> list[VersionSummary]:
    """List the versions of the project's model, the newest first."""
    name, metric = params.register.name, params.register.metric
    runs = {run.id: run for run in list_runs(root, name)}
    return [summarize_version(version, runs.get(version.run), metric) for version in list_versions(root, name)[::-1]]


def summarize_version(version: TrackedVersion, run: TrackedRun | None, metric: str) -> VersionSummary:
    """Put together what MLflow has of a version and of the run that made it."""
    return VersionSummary(
        version=version.number,
        aliases=version.aliases,
        metric=metric,
        value=run.metrics.get(f"{FINETUNED}/{metric}") if run else None,
        verdict=run.tags.get("tunesmith.verdict", "") if run else "",
        created=datetime.fromtimestamp(version.created_ms / 1000, UTC).isoformat(timespec="seconds"),
        run=version.run,
    )
