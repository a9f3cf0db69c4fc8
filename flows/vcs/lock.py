"""One run at a time in a checkout; who holds it is written beside the lock."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from flows.paths import state_dir
from pipeline.errors import UserError

LOCK_WAIT_SECONDS = 1
"""For whoever holds the checkout only to look whether it is free."""


@contextmanager
def checkout_lock(root: Path, what: str, name: str = "run") -> Iterator[None]:
    """Hold the checkout; the kernel lets go of it when the process ends, however it ends.

    Args:
        root: The checkout.
        what: The command that holds it.
        name: Of what there can be one at a time: runs, unless another kind is named.

    Raises:
        UserError: If another process holds it, saying which.
    """
    holder = state_dir(root) / f"{name}.json"
    lock = FileLock(state_dir(root) / f"{name}.lock")
    try:
        acquired = lock.acquire(timeout=LOCK_WAIT_SECONDS)
    except Timeout as error:
        raise UserError(
            str(root), f"busy: {holder_text(holder)}", do="wait for it to end, or stop it; nothing was changed"
        ) from error
    with acquired:
        holder.write_text(json.dumps({"what": what, "pid": os.getpid(), "since": time.time()}), encoding="utf-8")
        yield


def is_free(root: Path) -> bool:
    """Say whether no run holds the checkout at this moment."""
    with lock_if_free(root) as held:
        return held


@contextmanager
def lock_if_free(root: Path) -> Iterator[bool]:
    """Hold the checkout for as long as this lasts, unless a run holds it; say whether it is held now."""
    lock = FileLock(state_dir(root) / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def holder_text(holder: Path) -> str:
    """Say who holds the checkout."""
    try:
        held = json.loads(holder.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return "another run is going on"
    since = datetime.fromtimestamp(held["since"]).astimezone()
    return f"`{held['what']}` is going on (process {held['pid']}, since {since:%H:%M:%S})"
