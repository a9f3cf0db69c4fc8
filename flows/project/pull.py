"""Brings into a clone what DVC keeps of a commit: sources, outputs and the champion."""

from pathlib import Path

from flows.champion import store
from flows.vcs.dvc import run_dvc
from flows.vcs.recovery import locked_and_recovered
from flows.vcs.remote import fetch_states
from flows.vcs.states import read_lock_state
from flows.vcs.worktree import default_remote, tracked_outputs
from pipeline.errors import UserError
from pipeline.params import load_params


def pull_project(root: Path) -> list[str]:
    """Bring it from the cache, and from the remote if one is set; say what came, and what is in neither.

    What a stage left is made again by the next run if it is lost. Sources, and the champion that a new model is to be
    compared with, cannot be made again.

    Raises:
        UserError: If sources or the champion are not to be had, or the remote does not answer.
    """
    name = load_params(root / "params.yaml").register.name
    with locked_and_recovered(root, "tunesmith pull"):
        unfetched = fetch_states(root)
        remote = default_remote(root)
        run_dvc(root, "pull" if remote else "checkout", "--allow-missing")
        looked_in = f"DVC's cache and in the remote {remote}" if remote else "DVC's cache, and no remote is set"
        lacking = [path for path, _ in tracked_outputs(root) if not (root / path).exists()]
        made = read_lock_state(root, "HEAD").outputs
        if sources := [path for path in lacking if path not in made]:
            raise UserError(
                ", ".join(sources),
                f"looked for in {looked_in}, and not there",
                do="`dvc push` them from where they are",
            )
        outputs = f"{len(made) - len(lacking)} of {len(made)} outputs of stages are here"
        lost = f"; the others, looked for in {looked_in}, will be made again" if lacking else ""
        states = [unfetched] if unfetched else []
        return [outputs + lost, *states, *(store.restored(root, name) or [champion_line(root, name)])]


def champion_line(root: Path, name: str) -> str:
    """Say who is champion."""
    held = store.current_champion(root, name)
    return f"champion {held.digest[:12]} is here" if held else f"{name} has no champion yet"
