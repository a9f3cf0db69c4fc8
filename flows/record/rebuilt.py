"""MLflow made anew from the files, whatever it has lost."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from flows import champion, trail
from flows.past import ADAPTER, RELEASE, Past, bring_back, past
from flows.record.promotions import show_moves
from flows.record.release import lineage, read_release, record, recorded
from flows.record.runs import Run, begin
from flows.record.versions import Version, find_version, register_version
from flows.snapshot import Snapshot, kept
from pipeline.champion import Champion
from pipeline.digests import file_sha256, weights_of
from pipeline.pairs import read_json
from pipeline.params import Params
from pipeline.problem import Problem


def sync(root: Path, params: Params, keep: Callable[[], Snapshot]) -> list[str]:
    """Make MLflow agree with the files, whatever it has lost; say what had to be done.

    Args:
        root: The checkout.
        params: Its params.
        keep: Keeps the state of the tree; asked only if a run is to be recorded.
    """
    done = restored(root, params.register.name)
    run_id, release = recorded(root, params), read_release(root)
    version = find_version(root, release["name"], release["digests"]["adapter"])
    if run_id is None or version is None:
        run = begin(root, params, "rebuilt from files") if run_id is None else Run(root, run_id)
        version = record(run, keep())
        run.end("FINISHED")
        done.append(f"run {run.id[:8]} and version {version.number} of {version.name} rebuilt from the files")
    return [*done, *sync_champions(root, params), *show_moves(root, params.register.name)]


def restored(root: Path, name: str) -> list[str]:
    """Bring back the champion that the moves name, if this checkout keeps another one or none."""
    told, held = trail.moves(root, name), champion.held(root, name)
    for digest in trail.reigns(told)[-1:]:
        if held is None or held.digest != digest:
            with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
                found = brought_back(root, told, digest, Path(place))
                champion.keep(champion.home(root, name), found.adapter, found.release)
            return [f"champion {digest[:12]} brought back from DVC"]
    return []


def brought_back(root: Path, told: list[trail.Move], digest: str, place: Path) -> Champion:
    """Bring a champion of the past back from what DVC keeps of the state that made it.

    Raises:
        Problem: If no move names the state, it is gone, or it holds other weights.
    """
    commit = trail.made_by(told, digest)
    state = commit and past(root, commit)
    if not state:
        raise Problem(
            f"champion {digest[:12]}",
            "the state that made it is not in git",
            expected=commit or f"a commit in {trail.PROMOTIONS}",
            do="fetch it: `git fetch REMOTE 'refs/tunesmith/*:refs/tunesmith/*'`",
        )
    released = bring_release(root, state, place)
    found = file_sha256(weights_of(released.adapter))
    if found != digest:
        raise Problem(f"the state {state.commit[:12]}", "holds other weights", expected=digest, got=found)
    return released


def bring_release(root: Path, state: Past, place: Path) -> Champion:
    """Bring what a state released back into a folder: the adapter, and what is recorded of it."""
    bring_back(root, state, ADAPTER, place / "adapter")
    bring_back(root, state, RELEASE, place / "release.json")
    return Champion(place / "adapter", read_json(place / "release.json"))


def sync_champions(root: Path, params: Params) -> list[str]:
    """Register again the present champion and the one before it, if MLflow has lost them."""
    name, done = params.register.name, []
    told, held = trail.moves(root, name), champion.held(root, name)
    for digest in dict.fromkeys([*trail.reigns(told)[-2:], *([held.digest] if held else [])]):
        if find_version(root, name, digest) is None:
            with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
                found = (
                    held if held and held.digest == digest else brought_back(root, told, digest, Path(place))
                )  # fmt: skip
                version = registered(root, params, found, trail.made_by(told, digest))
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
