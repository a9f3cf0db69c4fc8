"""MLflow made anew from the files, whatever it has lost."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from flows.champion import promotion_log, store
from flows.tracking.aliases import show_moves
from flows.tracking.release import lineage, read_release, record, recorded
from flows.tracking.runs import Run, begin
from flows.tracking.versions import Version, find_version, register_version
from flows.vcs.snapshot import Snapshot, kept
from flows.vcs.states import past
from pipeline.champion import Champion
from pipeline.params import Params


def sync(root: Path, params: Params, keep: Callable[[], Snapshot]) -> list[str]:
    """Make MLflow agree with the files, whatever it has lost; say what had to be done.

    Args:
        root: The checkout.
        params: Its params.
        keep: Keeps the state of the tree; asked only if a run is to be recorded.
    """
    done = store.restored(root, params.register.name)
    run_id, release = recorded(root, params), read_release(root)
    version = find_version(root, release["name"], release["digests"]["adapter"])
    if run_id is None or version is None:
        run = begin(root, params, "rebuilt from files") if run_id is None else Run(root, run_id)
        version = record(run, keep())
        run.end("FINISHED")
        done.append(f"run {run.id[:8]} and version {version.number} of {version.name} rebuilt from the files")
    return [*done, *sync_champions(root, params), *show_moves(root, params.register.name)]


def sync_champions(root: Path, params: Params) -> list[str]:
    """Register again the present champion and the one before it, if MLflow has lost them."""
    name, done = params.register.name, []
    told, held = promotion_log.moves(root, name), store.held(root, name)
    for digest in dict.fromkeys([*promotion_log.reigns(told)[-2:], *([held.digest] if held else [])]):
        if find_version(root, name, digest) is None:
            with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
                found = (
                    held if held and held.digest == digest else store.brought_back(root, told, digest, Path(place))
                )  # fmt: skip
                version = registered(root, params, found, promotion_log.made_by(told, digest))
            done.append(f"champion {digest[:12]} registered again as version {version.number} of {version.name}")
    return done


def registered(root: Path, params: Params, found: Champion, commit: str | None) -> Version:
    """Register a champion of the past, in a run of its own."""
    run = begin(root, params, "champion, rebuilt from files")
    version = register_past(run, found, commit)
    run.end("FINISHED")
    return version


def register_past(run: Run, found: Champion, commit: str | None) -> Version:
    """Register a model of the past, with what made it as far as that is known."""
    tags: dict[str, object] = {"base.digest": found.release["digests"]["base"]}
    made = commit and past(run.root, commit)
    if made:
        tags = lineage(made, found.release, kept(run.root, made.commit))
    run.tag(tags)
    version = register_version(run, found.release, found.adapter, tags)
    run.tag({"tunesmith.version": version.number})
    return version
