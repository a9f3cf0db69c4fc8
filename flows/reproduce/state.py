"""A past state laid out to be made again: its files and its data, with what its run left set aside."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.champion import promotion_log
from flows.champion.store import brought_back
from flows.paths import state_dir
from flows.reproduce.comparison import RunEvidence, read_evidence
from flows.vcs.dvc import stage_names
from flows.vcs.dvc_lock import dvc_md5
from flows.vcs.states import RELEASE_PATH
from flows.vcs.worktree import add_worktree, fetch_worktree_data
from pipeline.champion import CHAMPION_ADAPTER, CHAMPION_FOLDER, CHAMPION_RECORD
from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.params import read_yaml

REPRODUCE_WORKTREE, RECORDED_FOLDER = "reproduce", "recorded"


@dataclass(frozen=True)
class WorktreeState:
    """A worktree, and what its dvc.lock says of each stage, in the order of dvc.yaml."""

    tree: Path
    lock: Mapping[str, Any]

    @property
    def sources(self) -> list[str]:
        """Paths of the raw data."""
        return [dep["path"] for dep in self.lock["ingest"]["deps"] if not dep["path"].startswith("pipeline/")]

    @property
    def dependencies(self) -> dict[str, str]:
        """Digest of each file and folder that the stages read."""
        return {dep["path"]: dep["md5"] for entry in self.lock.values() for dep in entry["deps"]}

    @property
    def outputs(self) -> dict[str, str]:
        """Digest of each file and folder that the stages left."""
        return {out["path"]: out["md5"] for entry in self.lock.values() for out in entry["outs"]}

    @property
    def recorded_digests(self) -> dict[str, str]:
        """Digest of the raw data, and of what the stages left."""
        raw = {dep["path"]: dep["md5"] for dep in self.lock["ingest"]["deps"] if dep["path"] in self.sources}
        return raw | self.outputs

    def current_digests(self) -> dict[str, str]:
        """Digest of the same files as they are in the tree now."""
        paths = {path: self.tree / path for path in self.recorded_digests}
        return {path: dvc_md5(on_disk) if on_disk.exists() else "missing" for path, on_disk in paths.items()}


def check_out_state(root: Path, commit: str) -> WorktreeState:
    """Lay out a state in a worktree, with all data that its run read and left, every byte checked.

    Raises:
        UserError: If no run came to its end in that state, or its data or the champion that it met cannot be had.
    """
    tree = add_worktree(root, commit, REPRODUCE_WORKTREE)
    names = stage_names(tree)
    lock = read_yaml(tree / "dvc.lock")["stages"] if (tree / "dvc.lock").exists() else {}
    missing = [name for name in names if name not in lock]
    if missing:
        raise UserError(
            f"commit {commit[:12]}",
            "no whole run is recorded in it",
            expected="every stage in its dvc.lock",
            got=f"nothing of {', '.join(missing)}",
            do="name a version, or the run that made it",
        )
    fetch_worktree_data(tree)
    state = WorktreeState(tree, {name: lock[name] for name in names})
    restore_champion(root, state)
    return state


def restore_champion(root: Path, state: WorktreeState) -> None:
    """Show the stages the champion that the model met, where the commit does not hold it.

    The state of a run holds it. What people commit does not, for git ignores it; its release then says who it was.

    Raises:
        UserError: If it is not to be had.
    """
    folder, release = state.tree / CHAMPION_FOLDER, read_json(state.tree / RELEASE_PATH)
    met, before = state.dependencies.get(str(CHAMPION_FOLDER)), release["champion_before"]
    if met is None or before is None or (folder.exists() and dvc_md5(folder) == met):
        return
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        champion = brought_back(root, promotion_log.read_promotions(root, release["name"]), before, Path(scratch))
        shutil.rmtree(folder / CHAMPION_ADAPTER, ignore_errors=True)
        shutil.copytree(champion.adapter, folder / CHAMPION_ADAPTER)
        write_json(folder / CHAMPION_RECORD, champion.release)


def move_outputs_away(state: WorktreeState) -> RunEvidence:
    """Move away what the run left, so that no stage can find it, and give it as evidence."""
    aside = state_dir(state.tree) / RECORDED_FOLDER
    for path in state.outputs:
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        (state.tree / path).rename(aside / path)
    return read_evidence(state.recorded_digests, aside)
