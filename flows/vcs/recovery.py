"""What a killed DVC leaves half-written, made whole before it is asked again: it empties files before it fills them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.paths import state_dir
from flows.vcs.dvc import RAW_FOLDER
from flows.vcs.git import run_git
from flows.vcs.lock import checkout_lock, lock_if_free
from pipeline.errors import UserError
from pipeline.files import atomic_write
from pipeline.params import read_yaml

DVC_RWLOCK = Path(".dvc") / "tmp" / "rwlock"
"""Which process of DVC reads or writes what."""
DVC_RECORDS = ("dvc.lock", f"{RAW_FOLDER}.dvc")
"""What DVC writes down for git."""
COPIES_FOLDER = "whole"


@contextmanager
def locked_and_recovered(root: Path, what: str) -> Iterator[None]:
    """Hold the checkout (see `checkout_lock`), its files made whole first."""
    with checkout_lock(root, what):
        recover_files(root)
        yield


def recover_files(root: Path) -> None:
    """Make whole what a killed run left; a file that is whole is kept, for the next time. Called under the lock.

    What the copy lacks is no loss: the stages that it does not name are restored from DVC's cache.

    Raises:
        UserError: If a file is cut off, and there is neither a copy of it nor a commit that has it; or a merge conflict
            is to be settled in it.
    """
    if not is_intact_json(root / DVC_RWLOCK):
        (root / DVC_RWLOCK).unlink()
    for name in DVC_RECORDS:
        path, copy = root / name, state_dir(root) / COPIES_FOLDER / Path(name).name
        if not path.exists():
            continue
        if run_git(root, "ls-files", "--unmerged", "--", name):
            raise UserError(name, "holds a merge conflict", do=f"settle it, and `git add {name}`")
        if not is_intact_yaml(path):
            path.write_text(previous_content(root, name, copy), encoding="utf-8")
        copy.parent.mkdir(exist_ok=True)
        with atomic_write(copy) as part:
            shutil.copyfile(path, part)


def recover_if_free(root: Path) -> None:
    """Do so for a command that only looks, unless a run is going on: that writes these files itself."""
    with lock_if_free(root) as held:
        if held:
            recover_files(root)


def is_intact_json(path: Path) -> bool:
    """Say whether a file is JSON, or is not there."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return True


def is_intact_yaml(path: Path) -> bool:
    """Say whether DVC has written a file of YAML to its end, or to the end of an entry, so that it can read it."""
    try:
        parsed = read_yaml(path)
        entries = list(parsed["stages"].values()) if path.suffix == ".lock" else [parsed]
        named = [item for entry in entries for part in ("deps", "outs") for item in entry.get(part, [])]
        return bool(named) and all(item["path"] and item["md5"] for item in named) and ends_with_newline(path)
    except (UserError, KeyError, TypeError, AttributeError):
        return False


def ends_with_newline(path: Path) -> bool:
    """Say whether the last line of a file is whole."""
    return path.read_bytes().endswith(b"\n")


def previous_content(root: Path, name: str, copy: Path) -> str:
    """Give a file as it was before it was cut off: as the last run met it, else as the last commit has it."""
    if copy.exists():
        return copy.read_text(encoding="utf-8")
    try:
        return run_git(root, "show", f"HEAD:{name}") + "\n"
    except UserError as problem:
        raise UserError(
            name,
            "is cut off: DVC was killed while it wrote it",
            do="remove it; `dvc add data/raw` if it is data/raw.dvc",
        ) from problem
