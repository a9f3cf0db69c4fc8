"""A past state laid out to be made again: its files and its data, with what its run left set aside."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.champion import promotion_log
from flows.champion.store import brought_back
from flows.paths import private
from flows.reproduce.comparison import Evidence, read_evidence
from flows.vcs.dvc import stages
from flows.vcs.dvc_lock import md5_of
from flows.vcs.states import RELEASE
from flows.vcs.worktree import add_worktree, bring_data
from pipeline.champion import ADAPTER, FOLDER, RECORD
from pipeline.errors import Problem
from pipeline.files import read_json, write_json
from pipeline.params import read_yaml

TREE, ASIDE = "reproduce", "recorded"


@dataclass(frozen=True)
class State:
    """A worktree, and what its dvc.lock says of each stage, in the order of dvc.yaml."""

    tree: Path
    lock: Mapping[str, Any]

    @property
    def sources(self) -> list[str]:
        """Paths of the raw data."""
        return [dep["path"] for dep in self.lock["ingest"]["deps"] if not dep["path"].startswith("pipeline/")]

    @property
    def read(self) -> dict[str, str]:
        """Digest of each file and folder that the stages read."""
        return {dep["path"]: dep["md5"] for entry in self.lock.values() for dep in entry["deps"]}

    @property
    def outs(self) -> dict[str, str]:
        """Digest of each file and folder that the stages left."""
        return {out["path"]: out["md5"] for entry in self.lock.values() for out in entry["outs"]}

    @property
    def recorded(self) -> dict[str, str]:
        """Digest of the raw data, and of what the stages left."""
        raw = {dep["path"]: dep["md5"] for dep in self.lock["ingest"]["deps"] if dep["path"] in self.sources}
        return raw | self.outs

    def found(self) -> dict[str, str]:
        """Digest of the same files as they are in the tree now."""
        places = {path: self.tree / path for path in self.recorded}
        return {path: md5_of(place) if place.exists() else "missing" for path, place in places.items()}


def lay_out(root: Path, commit: str) -> State:
    """Lay out a state in a worktree, with all data that its run read and left, every byte checked.

    Raises:
        Problem: If no run came to its end in that state, or its data or the champion that it met cannot be had.
    """
    tree = add_worktree(root, commit, TREE)
    names = stages(tree)
    lock = read_yaml(tree / "dvc.lock")["stages"] if (tree / "dvc.lock").exists() else {}
    missing = [name for name in names if name not in lock]
    if missing:
        raise Problem(
            f"commit {commit[:12]}",
            "no whole run is recorded in it",
            expected="every stage in its dvc.lock",
            got=f"nothing of {', '.join(missing)}",
            do="name a version, or the run that made it",
        )
    bring_data(tree)
    state = State(tree, {name: lock[name] for name in names})
    show_champion(root, state)
    return state


def show_champion(root: Path, state: State) -> None:
    """Show the stages the champion that the model met, where the commit does not hold it.

    The state of a run holds it. What people commit does not, for git ignores it; its release then says who it was.

    Raises:
        Problem: If it is not to be had.
    """
    folder, release = state.tree / FOLDER, read_json(state.tree / RELEASE)
    met, before = state.read.get(str(FOLDER)), release["champion_before"]
    if met is None or before is None or (folder.exists() and md5_of(folder) == met):
        return
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        found = brought_back(root, promotion_log.moves(root, release["name"]), before, Path(place))
        shutil.rmtree(folder / ADAPTER, ignore_errors=True)
        shutil.copytree(found.adapter, folder / ADAPTER)
        write_json(folder / RECORD, found.release)


def set_aside(state: State) -> Evidence:
    """Move away what the run left, so that no stage can find it, and give it as evidence."""
    aside = private(state.tree) / ASIDE
    for path in state.outs:
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        (state.tree / path).rename(aside / path)
    return read_evidence(state.recorded, aside)
