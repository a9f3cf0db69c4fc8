"""What dvc.lock says of inputs and outputs, and digests of files as DVC computes them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from flows.paths import BYTECODE_FOLDER
from pipeline.errors import UserError
from pipeline.params import read_yaml


def locked_outputs(root: Path) -> dict[str, dict[str, str]]:
    """List what dvc.lock says of each stage's outputs: path and MD5."""
    lock = root / "dvc.lock"
    locked = read_yaml(lock)["stages"] if lock.exists() else {}
    return {stage: {out["path"]: out["md5"] for out in entry.get("outs", [])} for stage, entry in locked.items()}


def locked_inputs(root: Path, stage: str) -> dict[str, str]:
    """List what dvc.lock says of a stage's dependencies: path and MD5."""
    return {dep["path"]: dep["md5"] for dep in read_yaml(root / "dvc.lock")["stages"][stage].get("deps", [])}


def verify_outputs(root: Path, stages: list[str]) -> None:
    """Hash every output of these stages anew: DVC takes the bytes in its cache on trust.

    Raises:
        UserError: With every output whose bytes are not those of dvc.lock.
    """
    locked = locked_outputs(root)
    wrong = [
        path
        for stage in stages
        for path, md5 in locked.get(stage, {}).items()
        if not (root / path).exists() or dvc_md5(root / path) != md5
    ]
    if wrong:
        raise UserError(
            ", ".join(wrong),
            "not the bytes that dvc.lock names",
            do="remove them and .dvc/cache's copies, and run the stage with --force",
        )


def dvc_md5(path: Path) -> str:
    """Hash a file or a folder as DVC does."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = [file for file in path.rglob("*") if file.is_file() and BYTECODE_FOLDER not in file.parts]
    return dvc_folder_md5({file.relative_to(path).as_posix(): dvc_md5(file) for file in files})


def dvc_folder_md5(files: Mapping[str, str]) -> str:
    """Hash a folder as DVC does, from the MD5 of each file by its path in it."""
    listing = json.dumps([{"md5": files[name], "relpath": name} for name in sorted(files)], sort_keys=True)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
