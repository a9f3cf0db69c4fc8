"""SHA-256 of files and folders: equal digests, equal bytes."""

import hashlib
from pathlib import Path

MANIFEST = "manifest.json"
"""A folder's own list of digests; never part of what is digested."""


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_file(folder: Path) -> Path:
    """Find the one safetensors file in a folder of what was trained: an adapter's, or a whole model's."""
    (weights,) = folder.glob("*.safetensors")
    return weights


def tree_digest(files: dict[str, str]) -> str:
    """One digest for a folder, from those of its files."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
