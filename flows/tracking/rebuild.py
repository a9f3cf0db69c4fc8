"""MLflow made anew from the files, whatever it has lost."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from flows.champion import promotion_log, store
from flows.tracking.aliases import sync_promotions
from flows.tracking.release import find_recorded_run, lineage_tags, read_release, record_release
from flows.tracking.runs import TrackingRun, begin_mlflow_run
from flows.tracking.tags import VERSION_TAG
from flows.tracking.versions import ModelVersion, find_version, register_version
from flows.vcs.snapshot import Snapshot, read_snapshot
from flows.vcs.states import state_at
from pipeline.champion import Champion
from pipeline.params import Params


def rebuild_mlflow(root: Path, params: Params, keep: Callable[[], Snapshot]) -> list[str]:
    """Make MLflow agree with the files, whatever it has lost; say what had to be done.

    Args:
        root: The checkout.
        params: Its params.
        keep: Keeps the state of the tree; asked only if a run is to be recorded.
    """
    lines = store.restored(root, params.register.name)
    run_id, release = find_recorded_run(root, params), read_release(root)
    version = find_version(root, release["name"], release["digests"]["adapter"])
    if run_id is None or version is None:
        run = begin_mlflow_run(root, params, "rebuilt from files") if run_id is None else TrackingRun(root, run_id)
        version = record_release(run, keep())
        run.end("FINISHED")
        lines.append(f"run {run.id[:8]} and version {version.number} of {version.name} rebuilt from the files")
    return [*lines, *sync_champions(root, params), *sync_promotions(root, params.register.name)]


def sync_champions(root: Path, params: Params) -> list[str]:
    """Register again the present champion and the one before it, if MLflow has lost them."""
    name, lines = params.register.name, []
    promotions, held = promotion_log.read_promotions(root, name), store.current_champion(root, name)
    for digest in dict.fromkeys([*promotion_log.succession(promotions)[-2:], *([held.digest] if held else [])]):
        if find_version(root, name, digest) is None:
            with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
                champion = (
                    held
                    if held and held.digest == digest
                    else store.brought_back(root, promotions, digest, Path(scratch))
                )  # fmt: skip
                version = register_past_champion(
                    root, params, champion, promotion_log.commit_of_promotion(promotions, digest)
                )
            lines.append(f"champion {digest[:12]} registered again as version {version.number} of {version.name}")
    return lines


def register_past_champion(root: Path, params: Params, champion: Champion, commit: str | None) -> ModelVersion:
    """Register a champion of the past, in a run of its own."""
    run = begin_mlflow_run(root, params, "champion, rebuilt from files")
    version = register_past_version(run, champion, commit)
    run.end("FINISHED")
    return version


def register_past_version(run: TrackingRun, champion: Champion, commit: str | None) -> ModelVersion:
    """Register a model of the past, with what made it as far as that is known."""
    tags: dict[str, object] = {"base.digest": champion.release["digests"]["base"]}
    made = commit and state_at(run.root, commit)
    if made:
        tags = lineage_tags(made, champion.release, read_snapshot(run.root, made.commit))
    run.set_tags(tags)
    version = register_version(run, champion.release, champion.adapter, tags)
    run.set_tags({VERSION_TAG: version.number})
    return version
