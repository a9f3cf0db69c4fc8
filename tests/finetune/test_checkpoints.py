"""Laws of checkpoints: whole or not at all, the newest whole one, and no other training's."""

from pathlib import Path

import pytest

from pipeline.finetune.checkpoints import (
    CHECKPOINT_SECONDS_VARIABLE,
    CHECKPOINTS_VARIABLE,
    Checkpoints,
    open_checkpoints,
)


def fill(folder: Path) -> None:
    (folder / "weights").write_bytes(b"weights of the step")
    (folder / "state.json").write_text("{}", encoding="utf-8")


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "0123456789abcdef", interval_seconds=0)


def test_only_the_newest_is_kept(kept: Checkpoints) -> None:
    """Each checkpoint takes the place of the one before."""
    for step in (9, 10):
        kept.write(step, fill)
    newest = kept.newest_intact()
    assert newest is not None
    assert newest.name == "10"
    assert [path.name for path in newest.parent.iterdir()] == ["10"]


@pytest.mark.parametrize("fault", ["cut", "changed", "missing", "added", "no manifest", "half a manifest"])
def test_a_checkpoint_that_is_not_whole_is_not_taken(kept: Checkpoints, fault: str) -> None:
    """One byte less, another byte, a file less or more: the one before is taken, and the broken one is gone."""
    kept.write(9, fill)
    before = kept.newest_intact()
    assert before is not None
    before.rename(before.with_name("aside"))
    kept.write(10, fill)
    (before.parent / "aside").rename(before)
    broken = before.parent / "10"
    match fault:
        case "cut":
            (broken / "weights").write_bytes(b"weights of")
        case "changed":
            (broken / "weights").write_bytes(b"Weights of the step")
        case "missing":
            (broken / "state.json").unlink()
        case "added":
            (broken / "more").write_bytes(b"")
        case "no manifest":
            (broken / "manifest.json").unlink()
        case _:
            (broken / "manifest.json").write_text('{"weights"', encoding="utf-8")
    assert kept.newest_intact() == before
    assert not broken.exists()


def test_what_could_not_be_written_whole_leaves_the_one_before(kept: Checkpoints) -> None:
    """A disk that is full in the middle of it: the error comes through, nothing half is left, the last one stays."""

    def fail(folder: Path) -> None:
        fill(folder)
        raise OSError(28, "No space left on device")

    kept.write(9, fill)
    with pytest.raises(OSError, match="No space left"):
        kept.write(10, fail)
    newest = kept.newest_intact()
    assert newest is not None
    assert [path.name for path in newest.parent.iterdir()] == [newest.name] == ["9"]


def test_a_checkpoint_that_was_being_written_is_not_taken(kept: Checkpoints) -> None:
    """What a killed process has begun is no checkpoint, and does not stand in the way of the next."""
    kept.write(9, fill)
    assert kept.folder is not None
    (kept.folder / ".part").mkdir()
    (kept.folder / ".part" / "junk").write_bytes(b"half")
    newest = kept.newest_intact()
    assert newest is not None
    assert newest.name == "9"
    kept.write(10, fill)
    assert [path.name for path in kept.folder.iterdir()] == ["10"]
    assert not (kept.folder / "10" / "junk").exists()


def test_another_recipe_has_other_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same recipe finds its own; anything else in it, and there is none."""
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(tmp_path))
    monkeypatch.setenv(CHECKPOINT_SECONDS_VARIABLE, "0")
    recipe = {"finetune": {"learning_rate": 0.1}, "rows": "ab12"}
    open_checkpoints(recipe).write(3, fill)
    assert open_checkpoints({**recipe}).newest_intact() is not None
    assert open_checkpoints({**recipe, "finetune": {"learning_rate": 0.2}}).newest_intact() is None
    assert open_checkpoints({**recipe, "rows": "cd34"}).newest_intact() is None


def test_at_success_all_checkpoints_are_dropped_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of this training and those that broken ones left; not what else lies in the folder that was named."""
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(tmp_path))
    (tmp_path / "letters").mkdir()
    open_checkpoints({"seed": 1}).write(3, fill)
    mine = open_checkpoints({"seed": 2})
    mine.write(3, fill)
    mine.remove_all()
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


def test_a_checkpoint_is_due_after_its_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once where a crash may cost nothing, not at once where it may cost a minute, never without a place."""
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(tmp_path))
    monkeypatch.setenv(CHECKPOINT_SECONDS_VARIABLE, "0")
    assert open_checkpoints({}).is_due()
    monkeypatch.setenv(CHECKPOINT_SECONDS_VARIABLE, "60")
    assert not open_checkpoints({}).is_due()
    monkeypatch.delenv(CHECKPOINTS_VARIABLE)
    assert not open_checkpoints({}).is_due()
