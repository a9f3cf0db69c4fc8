"""Another champion by hand, and back: recorded for good, seen by `tunesmith predict` and by the alias in MLflow."""

import tempfile
from pathlib import Path

from flows.champion import promotion_log, store
from flows.tracking.aliases import model_of, show_moves, version_of
from flows.tracking.versions import Version, find_version
from flows.vcs.lock import only_run
from pipeline.errors import Problem
from pipeline.params import load_params


def promote(root: Path, number: str, why: str) -> list[str]:
    """Make a version the champion; say what was done.

    Raises:
        Problem: If no reason is given, there is no such version, it is the champion already, or its weights are others.
    """
    if not why.strip():
        raise Problem("--why", "is empty", expected="a reason", do="say in a few words why; it is kept for good")
    name = load_params(root / "params.yaml").register.name
    with only_run(root, "tunesmith promote"):
        return move(root, version_of(root, name, number), how="promote", why=why.strip())


def rollback(root: Path, why: str) -> list[str]:
    """Make the champion before the present one the champion again; say what was done.

    Raises:
        Problem: If there is none before it, or MLflow does not have its version.
    """
    name = load_params(root / "params.yaml").register.name
    with only_run(root, "tunesmith rollback"):
        reigns = promotion_log.reigns(promotion_log.moves(root, name))
        if len(reigns) < 2:
            raise Problem(
                name,
                "has no champion before the present one to roll back to",
                do="`tunesmith promote VERSION --why TEXT` makes any version the champion",
            )
        version = find_version(root, name, reigns[-2])
        if version is None:
            raise Problem(
                f"champion {reigns[-2][:12]} of {name}", "is not in MLflow", do="`tunesmith sync` registers it again"
            )
        return move(root, version, how="rollback", why=why.strip())


def move(root: Path, version: Version, *, how: promotion_log.How, why: str) -> list[str]:
    """Put the move on record, then make the version the champion, then show it in MLflow.

    In this order: whatever ends it early, `tunesmith sync` makes the rest agree with the record.
    """
    name, held = version.name, store.held(root, version.name)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        found = model_of(root, version, Path(place))
        if held is not None and held.digest == found.digest:
            raise Problem(
                f"version {version.number} of {name}", "is the champion already", do="`tunesmith status` shows it"
            )
        before, state = held.digest if held else None, version.state(root)
        promotion_log.append(root, promotion_log.Move(name, found.digest, before, how=how, why=why, state=state))
        store.keep(store.home(root, name), found.adapter, found.release)
    return [f"champion of {name}: version {version.number}, adapter {found.digest[:12]}", *show_moves(root, name)]
