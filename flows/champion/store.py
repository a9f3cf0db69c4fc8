"""The champions that this checkout keeps, one for each model name, and when the stages see one."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from flows.champion import promotion_log
from flows.champion.origin import made
from flows.champion.promotion_log import Move
from flows.paths import private
from flows.vcs import states
from pipeline.champion import ADAPTER, FOLDER, RECORD, Champion, read_champion
from pipeline.errors import Problem
from pipeline.files import read_json, write_json
from pipeline.hashing import file_sha256, weights_of


def home(root: Path, name: str) -> Path:
    """Where the champion of a name is kept."""
    return private(root) / "champions" / name


def held(root: Path, name: str) -> Champion | None:
    """The champion of a name; None before the first."""
    return read_champion(home(root, name))


def accept(root: Path, release: dict[str, Any], state: str) -> bool:
    """Make the released model the champion, if the gate said so; say whether it is the champion now.

    A verdict counts only against the champion that it was reached against: an old release that comes back with its
    files does not depose a newer champion that it never met. Nor one that a person put in its place: what was
    champion once and is not any more becomes it again only by a person.

    Args:
        root: The checkout.
        release: The release that the files hold.
        state: The commit of their state.
    """
    name, digest = release["name"], release["digests"]["adapter"]
    current, told = held(root, name), promotion_log.moves(root, name)
    if current is not None and current.digest == digest:
        return True
    before = current.digest if current else None
    known, reigning = {move.adapter for move in told}, promotion_log.reigns(told)[-1:] == [digest]
    if release["verdict"] != "promote" or release["champion_before"] != before or (digest in known and not reigning):
        return False
    if not reigning:
        why = "; ".join(release["reasons"])
        promotion_log.append(root, Move(name, digest, before, how="gate", why=why, state=state))
    keep(home(root, name), root / "data/finetune/adapter", release)
    return True


def keep(folder: Path, adapter: Path, release: dict[str, Any]) -> None:
    """Write a champion into a folder, whole or not at all."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(adapter, part / ADAPTER)
    write_json(part / RECORD, release)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def refresh(root: Path, name: str) -> bool:
    """Show the stages the current champion of a name; say whether they saw another one before.

    Done when a new candidate is to be made, and only then.

    A model is never compared with itself as champion merely because the run was looked at again.
    """
    current, shown = held(root, name), read_champion(root / FOLDER)
    if (current and current.digest) == (shown and shown.digest):
        return False
    (root / FOLDER / RECORD).unlink(missing_ok=True)
    shutil.rmtree(root / FOLDER / ADAPTER, ignore_errors=True)
    if current is not None:
        shutil.copytree(current.adapter, root / FOLDER / ADAPTER)
        write_json(root / FOLDER / RECORD, current.release)
    return True


def restored(root: Path, name: str) -> list[str]:
    """Bring back the champion that the moves name, if this checkout keeps another one or none; say so if it was done.

    Raises:
        Problem: If it is not to be had.
    """
    told, current = promotion_log.moves(root, name), held(root, name)
    for digest in promotion_log.reigns(told)[-1:]:
        if current is None or current.digest != digest:
            with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
                found = brought_back(root, told, digest, Path(place))
                keep(home(root, name), found.adapter, found.release)
            return [f"champion {digest[:12]} brought back from DVC"]
    return []


def brought_back(root: Path, told: list[Move], digest: str, place: Path) -> Champion:
    """Bring a champion of the past back from what DVC keeps of the state that made it.

    Raises:
        Problem: If the state is gone, or it holds other weights.
    """
    state = made(root, digest, promotion_log.made_by(told, digest))
    released = bring_release(root, state, place)
    found = file_sha256(weights_of(released.adapter))
    if found != digest:
        raise Problem(f"the state {state.commit[:12]}", "holds other weights", expected=digest, got=found)
    return released


def bring_release(root: Path, state: states.Past, place: Path) -> Champion:
    """Bring what a state released back into a folder: the adapter, and what is recorded of it."""
    states.bring_back(root, state, states.ADAPTER, place / ADAPTER)
    states.bring_back(root, state, states.RELEASE, place / "release.json")
    return Champion(place / ADAPTER, read_json(place / "release.json"))
