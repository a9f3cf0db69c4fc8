from pathlib import Path

import pytest

from pipeline.files import atomic_folder, atomic_write


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def write_all(folder: Path, *files: str) -> None:
    with atomic_folder(folder) as part:
        for name in files:
            (part / name).write_text(name, encoding="utf-8")


def fail_half_way(folder: Path) -> None:
    with atomic_folder(folder) as part:
        (part / "half").write_text("half", encoding="utf-8")
        raise OSError("the disk is full")


def test_a_folder_appears_only_when_all_of_it_is_written(tmp_path: Path) -> None:
    """While it is being written the folder is not there, nor does anything of the old one go."""
    write_all(tmp_path / "out", "old")
    with atomic_folder(tmp_path / "out") as part:
        (part / "new").write_text("new", encoding="utf-8")
        assert names(tmp_path / "out") == {"old"}
    assert names(tmp_path / "out") == {"new"}
    assert names(tmp_path) == {"out"}


def test_a_failed_writing_leaves_the_old_folder(tmp_path: Path) -> None:
    """When the writing fails the folder is what it was before, and the exception goes on."""
    write_all(tmp_path / "out", "old")
    with pytest.raises(OSError, match="the disk is full"):
        fail_half_way(tmp_path / "out")
    assert names(tmp_path / "out") == {"old"}


def test_a_failed_first_writing_leaves_no_folder(tmp_path: Path) -> None:
    """Half a folder is never taken for a whole one."""
    with pytest.raises(OSError, match="the disk is full"):
        fail_half_way(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_failed_writing_left_does_not_get_into_the_next(tmp_path: Path) -> None:
    """The next try starts with an empty folder, and tidies up what the last one left."""
    with pytest.raises(OSError, match="the disk is full"):
        fail_half_way(tmp_path / "out")
    write_all(tmp_path / "out", "new")
    assert names(tmp_path / "out") == {"new"}
    assert names(tmp_path) == {"out"}


def test_folders_above_are_made(tmp_path: Path) -> None:
    """The first stage of a new project needs no data folder to be there."""
    write_all(tmp_path / "data" / "ingest", "pairs")
    assert names(tmp_path / "data" / "ingest") == {"pairs"}


def write_half(path: Path) -> None:
    with atomic_write(path) as part:
        part.write_text("half", encoding="utf-8")
        raise OSError("the disk is full")


def test_a_file_is_replaced_only_when_all_of_it_is_written(tmp_path: Path) -> None:
    """Until then the old one is there, and nothing is left beside it."""
    path = tmp_path / "a.json"
    for text in ("old", "new"):
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
            assert not path.exists() or path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == {"a.json"}


def test_a_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    """Or none, where none was; nothing is left of the new one."""
    with pytest.raises(OSError, match="the disk is full"):
        write_half(tmp_path / "a.json")
    assert names(tmp_path) == set()
    (tmp_path / "a.json").write_text("old", encoding="utf-8")
    with pytest.raises(OSError, match="the disk is full"):
        write_half(tmp_path / "a.json")
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"a.json": "old"}
