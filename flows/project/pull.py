"""What DVC keeps of a commit, brought into a clone: the sources, what the stages left, and the champion."""

from pathlib import Path

from flows.champion import store
from flows.vcs.dvc import dvc
from flows.vcs.recovery import whole
from flows.vcs.remote import fetch_states
from flows.vcs.states import written
from flows.vcs.worktree import default_remote, tracked
from pipeline.errors import Problem
from pipeline.params import load_params


def pull(root: Path) -> list[str]:
    """Bring it from the cache, and from the remote if one is set; say what came, and what is in neither.

    What a stage left is made again by the next run if it is lost. Sources, and the champion that a new model is to be
    compared with, cannot be made again.

    Raises:
        Problem: If sources or the champion are not to be had, or the remote does not answer.
    """
    name = load_params(root / "params.yaml").register.name
    with whole(root, "tunesmith pull"):
        unfetched = fetch_states(root)
        remote = default_remote(root)
        dvc(root, "pull" if remote else "checkout", "--allow-missing")
        places = f"DVC's cache and in the remote {remote}" if remote else "DVC's cache, and no remote is set"
        lacking = [path for path, _ in tracked(root) if not (root / path).exists()]
        made = written(root, "HEAD").outputs
        if sources := [path for path in lacking if path not in made]:
            raise Problem(
                ", ".join(sources), f"looked for in {places}, and not there", do="`dvc push` them from where they are"
            )
        outputs = f"{len(made) - len(lacking)} of {len(made)} outputs of stages are here"
        lost = f"; the others, looked for in {places}, will be made again" if lacking else ""
        states = [unfetched] if unfetched else []
        return [outputs + lost, *states, *(store.restored(root, name) or [named(root, name)])]


def named(root: Path, name: str) -> str:
    """Say who is champion."""
    held = store.held(root, name)
    return f"champion {held.digest[:12]} is here" if held else f"{name} has no champion yet"
