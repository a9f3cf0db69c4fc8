"""The champions that this checkout keeps, one for each model name, and when the stages see one."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from flows.champion import promotion_log
from flows.champion.origin import origin_state
from flows.champion.promotion_log import Promotion
from flows.paths import state_dir
from flows.vcs import states
from pipeline.champion import CHAMPION_ADAPTER, CHAMPION_FOLDER, CHAMPION_RECORD, Champion, read_champion
from pipeline.errors import UserError
from pipeline.files import atomic_folder, read_json, write_json
from pipeline.hashing import file_sha256, weights_file


def champion_folder(root: Path, name: str) -> Path:
    """Where the champion of a name is kept."""
    return state_dir(root) / "champions" / name


def current_champion(root: Path, name: str) -> Champion | None:
    """The champion of a name; None before the first."""
    return read_champion(champion_folder(root, name))


def accept_champion(root: Path, release: dict[str, Any], state: str) -> bool:
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
    current, promotions = current_champion(root, name), promotion_log.read_promotions(root, name)
    if current is not None and current.digest == digest:
        return True
    before = current.digest if current else None
    known, reigning = {move.adapter for move in promotions}, promotion_log.succession(promotions)[-1:] == [digest]
    if release["verdict"] != "promote" or release["champion_before"] != before or (digest in known and not reigning):
        return False
    if not reigning:
        why = "; ".join(release["reasons"])
        promotion_log.append_promotion(root, Promotion(name, digest, before, how="gate", why=why, state=state))
    write_champion(champion_folder(root, name), root / "data/finetune/adapter", release)
    return True


def write_champion(folder: Path, adapter: Path, release: dict[str, Any]) -> None:
    """Write a champion into a folder, whole or not at all."""
    with atomic_folder(folder) as part:
        shutil.copytree(adapter, part / CHAMPION_ADAPTER)
        write_json(part / CHAMPION_RECORD, release)


def show_current_champion(root: Path, name: str) -> bool:
    """Show the stages the current champion of a name; say whether they saw another one before.

    Done when a new candidate is to be made, and only then.

    A model is never compared with itself as champion merely because the run was looked at again.
    """
    current, shown = current_champion(root, name), read_champion(root / CHAMPION_FOLDER)
    if (current and current.digest) == (shown and shown.digest):
        return False
    (root / CHAMPION_FOLDER / CHAMPION_RECORD).unlink(missing_ok=True)
    shutil.rmtree(root / CHAMPION_FOLDER / CHAMPION_ADAPTER, ignore_errors=True)
    if current is not None:
        shutil.copytree(current.adapter, root / CHAMPION_FOLDER / CHAMPION_ADAPTER)
        write_json(root / CHAMPION_FOLDER / CHAMPION_RECORD, current.release)
    return True


def restored(root: Path, name: str) -> list[str]:
    """Bring back the champion that the moves name, if this checkout keeps another one or none; say so if it was done.

    Raises:
        UserError: If it is not to be had.
    """
    promotions, current = promotion_log.read_promotions(root, name), current_champion(root, name)
    for digest in promotion_log.succession(promotions)[-1:]:
        if current is None or current.digest != digest:
            with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
                champion = brought_back(root, promotions, digest, Path(scratch))
                write_champion(champion_folder(root, name), champion.adapter, champion.release)
            return [f"champion {digest[:12]} brought back from DVC"]
    return []


def brought_back(root: Path, promotions: list[Promotion], digest: str, folder: Path) -> Champion:
    """Bring a champion of the past back from what DVC keeps of the state that made it.

    Raises:
        UserError: If the state is gone, or it holds other weights.
    """
    state = origin_state(root, digest, promotion_log.commit_of_promotion(promotions, digest))
    released = bring_release(root, state, folder)
    digest_found = file_sha256(weights_file(released.adapter))
    if digest_found != digest:
        raise UserError(f"the state {state.commit[:12]}", "holds other weights", expected=digest, got=digest_found)
    return released


def bring_release(root: Path, state: states.CommitState, folder: Path) -> Champion:
    """Bring what a state released back into a folder: the adapter, and what is recorded of it."""
    states.restore_output(root, state, states.ADAPTER_PATH, folder / CHAMPION_ADAPTER)
    states.restore_output(root, state, states.RELEASE_PATH, folder / "release.json")
    return Champion(folder / CHAMPION_ADAPTER, read_json(folder / "release.json"))
