"""Laws of the champion: who takes whose place, and what the stages see of it."""

from pathlib import Path
from typing import Any

import pytest

from flows.champion.promotion_log import Promotion, append_promotion, read_promotions
from flows.champion.store import (
    accept_champion,
    champion_folder,
    current_champion,
    show_current_champion,
    write_champion,
)
from pipeline.champion import CHAMPION_FOLDER, read_champion
from pipeline.files import read_json

NAME = "colours"
STATE = "0" * 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / CHAMPION_FOLDER).mkdir(parents=True)
    (tmp_path / CHAMPION_FOLDER / "README.md").write_text("what lies here\n", encoding="utf-8")
    return tmp_path


def release(adapter: str, verdict: str = "promote", before: str | None = None, name: str = NAME) -> dict[str, Any]:
    digests = {"adapter": adapter}
    return {"name": name, "verdict": verdict, "reasons": ["why"], "champion_before": before, "digests": digests}


def trained(root: Path, weights: str) -> Path:
    """Put an adapter where finetune leaves it; its weights stand for their digest."""
    folder = root / "data" / "finetune" / "adapter"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_text(weights, encoding="utf-8")
    return folder


def reign(root: Path, name: str = NAME) -> str | None:
    """The weights of the champion that the checkout keeps."""
    found = current_champion(root, name)
    return None if found is None else (found.adapter / "adapter_model.safetensors").read_text(encoding="utf-8")


def seen(root: Path) -> dict[str, str]:
    """All that the stages see."""
    folder = root / CHAMPION_FOLDER
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def crown(root: Path, weights: str, before: str | None = None, name: str = NAME) -> None:
    trained(root, weights)
    assert accept_champion(root, release(weights, before=before, name=name), STATE)


def test_there_is_no_champion_before_the_first(root: Path) -> None:
    """Neither in the checkout nor before the stages."""
    assert current_champion(root, NAME) is None
    assert read_champion(root / CHAMPION_FOLDER) is None


@pytest.mark.parametrize(
    ("verdict", "before", "reigning", "accepted"),
    [
        ("promote", None, None, True),
        ("promote", "old", "old", True),
        ("promote", None, "old", False),
        ("promote", "older", "old", False),
        ("promote", "old", None, False),
        ("keep", None, None, False),
        ("keep", "old", "old", False),
        ("unchanged", "old", "old", False),
    ],
)
def test_a_verdict_counts_only_against_the_champion_that_it_met(
    root: Path, verdict: str, before: str | None, reigning: str | None, *, accepted: bool
) -> None:
    """A promoted candidate takes the place of the one it was compared with, of no other, and nobody else takes it."""
    if reigning:
        crown(root, reigning)
    trained(root, "new")
    assert accept_champion(root, release("new", verdict, before), STATE) is accepted
    assert reign(root) == ("new" if accepted else reigning)


def test_the_champion_stays_champion_when_it_comes_again(root: Path) -> None:
    """The same weights are told to be champion, whatever their verdict now; the record stays the one they won with."""
    crown(root, "old")
    assert accept_champion(root, release("old", "unchanged", "old"), STATE)
    assert accept_champion(root, release("old", "promote", None), STATE)
    found = current_champion(root, NAME)
    assert found is not None
    assert found.release == release("old")
    assert found.digest == "old"


def test_each_name_has_a_champion_of_its_own(root: Path) -> None:
    """The champion of one name is neither met nor deposed by the model of another."""
    crown(root, "blue", name="colours")
    crown(root, "loud", name="sounds")
    assert (reign(root, "colours"), reign(root, "sounds")) == ("blue", "loud")


def test_a_champion_is_kept_whole_or_not_at_all(root: Path) -> None:
    """An adapter that cannot be copied leaves the old champion as it was, and no rest of a copy stands in the way."""
    crown(root, "old")
    with pytest.raises(FileNotFoundError):
        write_champion(champion_folder(root, NAME), root / "nowhere", release("new"))
    assert reign(root) == "old"
    crown(root, "new", before="old")
    assert reign(root) == "new"
    assert [path.name for path in champion_folder(root, NAME).parent.iterdir()] == [NAME]


def test_the_stages_see_the_champion_after_a_refresh_and_not_before(root: Path) -> None:
    """What they compare with changes when a new candidate is to be made, and only then."""
    crown(root, "old")
    assert set(seen(root)) == {"README.md"}
    show_current_champion(root, NAME)
    assert seen(root)["adapter/adapter_model.safetensors"] == "old"
    assert read_json(root / CHAMPION_FOLDER / "champion.json") == release("old")
    crown(root, "new", before="old")
    assert seen(root)["adapter/adapter_model.safetensors"] == "old"
    show_current_champion(root, NAME)
    assert seen(root)["adapter/adapter_model.safetensors"] == "new"


def test_a_refresh_without_news_touches_nothing(root: Path) -> None:
    """The files stay the very same, so that no stage becomes stale."""
    crown(root, "old")
    show_current_champion(root, NAME)
    before = {path: path.stat().st_mtime_ns for path in (root / CHAMPION_FOLDER).rglob("*")}
    show_current_champion(root, NAME)
    assert {path: path.stat().st_mtime_ns for path in (root / CHAMPION_FOLDER).rglob("*")} == before


def test_the_stages_never_see_the_champion_of_another_name(root: Path) -> None:
    """Under a name without a champion nothing is shown but what belongs there, as before the first."""
    crown(root, "old")
    show_current_champion(root, NAME)
    show_current_champion(root, "sounds")
    assert set(seen(root)) == {"README.md"}
    assert read_champion(root / CHAMPION_FOLDER) is None


def test_what_the_stages_see_is_a_champion_in_full(root: Path) -> None:
    """Adapter, release and digest are read back as they were kept."""
    crown(root, "old")
    show_current_champion(root, NAME)
    found = read_champion(root / CHAMPION_FOLDER)
    assert found is not None
    assert (found.digest, found.release, found.adapter) == ("old", release("old"), root / CHAMPION_FOLDER / "adapter")


def test_who_becomes_champion_is_put_on_record_once(root: Path) -> None:
    """With whom it deposed, why, and the state that made it; a release that comes again adds nothing."""
    crown(root, "old")
    crown(root, "new", before="old")
    assert accept_champion(root, release("new", "promote", "old"), STATE)
    told = [(move.adapter, move.before, move.how, move.why, move.state) for move in read_promotions(root, NAME)]
    assert told == [("old", None, "gate", "why", STATE), ("new", "old", "gate", "why", STATE)]


def test_whom_a_person_deposed_the_gate_does_not_bring_back(root: Path) -> None:
    """Though its verdict was reached against the very champion that is there again."""
    crown(root, "old")
    crown(root, "new", before="old")
    append_promotion(root, Promotion(NAME, "old", "new", how="rollback", why="worse", state=None))
    write_champion(champion_folder(root, NAME), trained(root, "old"), release("old"))
    trained(root, "new")
    assert not accept_champion(root, release("new", "promote", "old"), STATE)
    assert reign(root) == "old"


def test_a_champion_on_record_that_the_checkout_lost_is_kept_again(root: Path) -> None:
    """Another checkout knows from git who is champion; its own run brings the weights, and adds no move."""
    append_promotion(root, Promotion(NAME, "new", None, how="gate", why="why", state=None))
    trained(root, "new")
    assert accept_champion(root, release("new"), STATE)
    assert (reign(root), len(read_promotions(root, NAME))) == ("new", 1)
