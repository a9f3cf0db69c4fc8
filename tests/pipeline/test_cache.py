from pathlib import Path

import pytest

from pipeline.cache import cache_folder, cached_folder, temporary_sibling
from pipeline.errors import UserError


def test_the_environment_says_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TUNESMITH_CACHE, else the user's cache folder."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "own"))
    assert cache_folder("models") == tmp_path / "own" / "models"
    monkeypatch.delenv("TUNESMITH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("sources") == tmp_path / "xdg" / "tunesmith" / "sources"


def test_what_was_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    """And its digests are those of its files."""
    fetched = []

    def obtain(into: Path) -> None:
        fetched.append(into)
        (into / "a.txt").write_text("a", encoding="utf-8")

    first = cached_folder(tmp_path / "cache" / "x", "somewhere", obtain)
    assert cached_folder(tmp_path / "cache" / "x", "somewhere", obtain) == first
    assert list(first) == ["a.txt"]
    assert len(fetched) == 1
    assert not fetched[0].exists()


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """The next one begins anew."""

    def fails(into: Path) -> None:
        (into / "half.txt").write_text("a", encoding="utf-8")
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        cached_folder(tmp_path / "x", "somewhere", fails)
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]


def test_a_file_that_changed_in_the_cache_is_named(tmp_path: Path) -> None:
    """It is never used."""
    cached_folder(tmp_path / "x", "somewhere", lambda into: (into / "a.txt").write_text("a", encoding="utf-8"))
    (tmp_path / "x" / "a.txt").write_text("b", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        cached_folder(tmp_path / "x", "somewhere", lambda _: None)
    assert str(caught.value) == (
        f"{tmp_path / 'x'}: changed since it was fetched: a.txt; remove that folder and run again"
    )


def test_scratch_goes_whatever_happens(tmp_path: Path) -> None:
    """Nothing is left beside the cache."""
    with temporary_sibling(tmp_path) as part:
        (part / "a").touch()
    assert list(tmp_path.iterdir()) == []
