"""The cache of what is fetched once from elsewhere: whole folders only, every byte checked when they are used."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.hashing import MANIFEST, file_digests

log = logging.getLogger(__name__)


def cache_folder(kind: str) -> Path:
    """Where things of a kind are kept: in TUNESMITH_CACHE, else in the user's cache folder."""
    root = os.environ.get("TUNESMITH_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "tunesmith"
    return Path(root).expanduser() / kind


def cached_folder(folder: Path, source: str, obtain: Callable[[Path], None]) -> dict[str, str]:
    """Fill a folder of the cache if it is not there yet, and check every byte of it.

    Args:
        folder: The folder in the cache.
        source: Where its files come from, for people.
        obtain: Puts the files into a folder that it is given.

    Returns:
        The digests of its files.

    Raises:
        UserError: If they are not what was fetched once.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / MANIFEST).exists():
            log.info("%s: not in the cache yet, fetching it once", source)
            with temporary_sibling(folder.parent) as part:
                obtain(part)
                write_json(part / MANIFEST, {"source": source, "files": file_digests(part)})
                shutil.rmtree(folder, ignore_errors=True)
                part.rename(folder)
    return verified_digests(folder)


@contextmanager
def temporary_sibling(parent: Path) -> Iterator[Path]:
    """Give a folder beside the final one, removed if anything goes wrong."""
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=parent))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def verified_digests(folder: Path) -> dict[str, str]:
    """Check a cached folder byte by byte against its manifest, and give its digests."""
    expected: dict[str, str] = read_json(folder / MANIFEST)["files"]
    got = file_digests(folder)
    if got != expected:
        wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
        raise UserError(
            str(folder),
            f"changed since it was fetched: {', '.join(wrong)}",
            do="remove that folder and run again",
        )
    return got
