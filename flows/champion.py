"""The champion that this checkout keeps: who it is, when another takes its place, when the stages see it."""

import shutil
from pathlib import Path
from typing import Any

from flows.place import private
from pipeline.champion import ADAPTER, RECORD, Champion, read_champion
from pipeline.pairs import write_json


def held(root: Path) -> Champion | None:
    """The champion of this checkout; None before the first."""
    return read_champion(private(root))


def accept(root: Path, release: dict[str, Any]) -> bool:
    """Make the released model the champion, if the gate said so; say whether it is the champion now.

    A verdict counts only against the champion that it was reached against: an old release that comes back with its
    files does not depose a newer champion that it never met.
    """
    current = held(root)
    digest = release["digests"]["adapter"]
    if current is not None and current.digest == digest:
        return True
    met = release["champion_before"] == (current.digest if current else None)
    if release["verdict"] != "promote" or not met:
        return False
    keep(private(root) / "champion", root / "data/finetune/adapter", release)
    return True


def keep(folder: Path, adapter: Path, release: dict[str, Any]) -> None:
    """Write a champion into a folder, whole or not at all."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(adapter, part / ADAPTER)
    write_json(part / RECORD, release)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def refresh(root: Path) -> None:
    """Show the stages the current champion. Done when a new candidate is to be made, and only then.

    A model is never compared with itself as champion merely because the run was looked at again.
    """
    current, seen = held(root), read_champion(root / "data")
    if current is None or (seen is not None and seen.digest == current.digest):
        return
    shown = root / "data" / "champion"
    write = shown / ADAPTER
    shutil.rmtree(write, ignore_errors=True)
    shutil.copytree(current.adapter, write)
    write_json(shown / RECORD, current.release)
