"""Laws of digests: equal digests, equal bytes."""

import hashlib
from pathlib import Path

import pytest

from pipeline.hashing import file_digests, file_sha256, tree_digest

FILES = {"b.txt": b"two", "a.txt": b"one", "deep/er/c.txt": b"three", "empty": b""}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def digest(folder: Path) -> str:
    return tree_digest(file_digests(folder))


def test_the_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    """The digest is that of all bytes of the file, of one that is larger than any buffer too."""
    content = bytes(range(256)) * 5000
    assert file_sha256(write(tmp_path, {"file": content}) / "file") == hashlib.sha256(content).hexdigest()


def test_every_file_below_a_folder_is_digested_by_its_name(tmp_path: Path) -> None:
    """Files in folders within it count too, by their names from the folder on; its own manifest does not."""
    folder = write(tmp_path, {**FILES, "manifest.json": b"{}"})
    assert file_digests(folder) == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def test_the_digest_of_a_folder_does_not_depend_on_any_order(tmp_path: Path) -> None:
    """Files written, or listed, in another order give the same digest."""
    first = write(tmp_path / "first", FILES)
    second = write(tmp_path / "second", dict(reversed(FILES.items())))
    backwards = dict(reversed(file_digests(first).items()))
    assert digest(first) == digest(second) == tree_digest(backwards)


@pytest.mark.parametrize(
    "other",
    [
        {**FILES, "a.txt": b"One"},
        {**FILES, "new": b""},
        {name: content for name, content in FILES.items() if name != "empty"},
        {"a.txt": b"two", "b.txt": b"one", "deep/er/c.txt": b"three", "empty": b""},
        {"b.txt": b"two", "a.txt": b"one", "c.txt": b"three", "empty": b""},
    ],
    ids=["a byte changed", "a file more", "a file fewer", "contents swapped", "a file moved"],
)
def test_another_folder_has_another_digest(tmp_path: Path, other: dict[str, bytes]) -> None:
    """Names and contents both count, each content under its own name."""
    assert digest(write(tmp_path / "first", FILES)) != digest(write(tmp_path / "other", other))
