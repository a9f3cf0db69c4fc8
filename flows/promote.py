"""Another champion by hand, and back: recorded for good, seen by `tunesmith predict` and by the alias in MLflow."""

import tempfile
from pathlib import Path

from flows import champion, trail
from flows.lock import only_run
from flows.record.promotions import model_of, show_moves, version_of
from flows.record.versions import Version, find_version
from pipeline.params import load_params
from pipeline.problem import Problem


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
        reigns = trail.reigns(trail.moves(root, name))
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


def move(root: Path, version: Version, *, how: trail.How, why: str) -> list[str]:
    """Put the move on record, then make the version the champion, then show it in MLflow.

    In this order: whatever ends it early, `tunesmith sync` makes the rest agree with the record.
    """
    name, held = version.name, champion.held(root, version.name)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        found = model_of(root, version, Path(place))
        if held is not None and held.digest == found.digest:
            raise Problem(
                f"version {version.number} of {name}", "is the champion already", do="`tunesmith status` shows it"
            )
        before, state = held.digest if held else None, version.state(root)
        trail.append(root, trail.Move(name, found.digest, before, how=how, why=why, state=state))
        champion.keep(champion.home(root, name), found.adapter, found.release)
    return [f"champion of {name}: version {version.number}, adapter {found.digest[:12]}", *show_moves(root, name)]
