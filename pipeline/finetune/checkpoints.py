"""Checkpoints of a training: written whole or not at all, and resumed only by the training that they belong to."""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipeline
from pipeline.files import fsync_path, read_json, write_json
from pipeline.hashing import MANIFEST, file_digests, file_sha256

CHECKPOINTS_VARIABLE = "TUNESMITH_CHECKPOINTS"
"""Environment: folder of the checkpoints; without it none are written."""
CHECKPOINT_SECONDS_VARIABLE = "TUNESMITH_CHECKPOINT_SECONDS"
"""Environment: seconds of training that a crash may cost at most; 60 if it is not set, 0 for each step."""
PIPELINE_CODE = Path(pipeline.__file__).parent
FINGERPRINT = re.compile(r"[0-9a-f]{16}")


@dataclass
class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: Theirs alone; None if none are to be kept.
        interval_seconds: Seconds between two of them.
    """

    folder: Path | None
    interval_seconds: float = 60
    last_attempt: float = 0.0
    """When the last was written, or was to be, by the monotonic clock."""

    def is_due(self) -> bool:
        """Say whether it is time for one."""
        return self.folder is not None and time.monotonic() - self.last_attempt >= self.interval_seconds

    def write(self, step: int, fill: Callable[[Path], None]) -> None:
        """Write the checkpoint of a step, then drop those before it.

        Args:
            step: Optimizer steps done.
            fill: Writes its files into the folder that it is given.
        """
        if self.folder is None:
            raise RuntimeError("there is no place for checkpoints")
        part = self.folder / ".part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            fill(part)
            write_json(part / MANIFEST, file_digests(part))
            for path in [*part.iterdir(), part]:
                fsync_path(path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)  # on a full disk what was begun stands in the way of the next
            raise
        finally:
            self.last_attempt = time.monotonic()
        before = self._step_folders()
        part.rename(self.folder / str(step))
        fsync_path(self.folder)
        for old in before:
            shutil.rmtree(old)

    def newest_intact(self) -> Path | None:
        """Find the newest checkpoint that is whole: every byte as its manifest says. Others are removed."""
        for folder in reversed(self._step_folders()):
            manifest = folder / MANIFEST
            if manifest.exists() and is_json_file(manifest) and read_json(manifest) == file_digests(folder):
                return folder
            shutil.rmtree(folder)
        return None

    def remove_all(self) -> None:
        """Remove them all, and those that other trainings in this place have left."""
        if self.folder is not None and self.folder.parent.exists():
            for folder in self.folder.parent.iterdir():
                if FINGERPRINT.fullmatch(folder.name):
                    shutil.rmtree(folder)

    def _step_folders(self) -> list[Path]:
        if self.folder is None or not self.folder.exists():
            return []
        return sorted(
            (path for path in self.folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)
        )


def open_checkpoints(recipe: Mapping[str, Any]) -> Checkpoints:
    """Find the place of a training's checkpoints: that of its fingerprint, so that no other can take them for its own.

    Args:
        recipe: All that the bytes of the result depend on, but for our code, which is added here.
    """
    root = os.environ.get(CHECKPOINTS_VARIABLE)
    if not root:
        return Checkpoints(None)
    code = {str(path.relative_to(PIPELINE_CODE)): file_sha256(path) for path in sorted(PIPELINE_CODE.rglob("*.py"))}
    identity = json.dumps([recipe, code], sort_keys=True)
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Checkpoints(
        Path(root) / fingerprint, float(os.environ.get(CHECKPOINT_SECONDS_VARIABLE, "60")), time.monotonic()
    )


def is_json_file(path: Path) -> bool:
    """Say whether a file can be read as JSON."""
    try:
        read_json(path)
    except ValueError:
        return False
    return True
