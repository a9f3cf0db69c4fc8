"""Laws of knowing without MLflow that MLflow shows the files already."""

import hashlib
from pathlib import Path

import pytest

from flows.tracking.outbox import is_marked_recorded, mark_recorded, release_signature


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a release and a database of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "data" / "register").mkdir(parents=True)
    (tmp_path / "data" / "register" / "release.json").write_text("{}\n", encoding="utf-8")
    (tmp_path / ".tunesmith").mkdir()
    (tmp_path / ".tunesmith" / "mlflow.db").touch()
    return tmp_path


def test_the_sign_names_the_release_and_the_place(project: Path) -> None:
    """Digest of the release, and where it is recorded."""
    digest = hashlib.sha256(b"{}\n").hexdigest()
    assert release_signature(project) == f"{digest} in sqlite:///{project}/.tunesmith/mlflow.db\n"


def test_what_was_marked_is_known(project: Path) -> None:
    """Nothing is recorded before it was marked, and it is afterwards."""
    assert not is_marked_recorded(project)
    mark_recorded(project)
    assert is_marked_recorded(project)


@pytest.mark.parametrize("lost", ["data/register/release.json", ".tunesmith/mlflow.db", ".tunesmith/recorded"])
def test_what_is_lost_is_not_recorded(project: Path, lost: str) -> None:
    """Without the release, the database or the marker there is nothing to rely on, and it may be marked again."""
    mark_recorded(project)
    (project / lost).unlink()
    assert not is_marked_recorded(project)
    (project / lost).write_text("{}\n", encoding="utf-8")
    mark_recorded(project)
    assert is_marked_recorded(project)


def test_another_release_is_not_recorded(project: Path) -> None:
    """The marker is of those very bytes."""
    mark_recorded(project)
    (project / "data" / "register" / "release.json").write_text("{ }\n", encoding="utf-8")
    assert not is_marked_recorded(project)


def test_what_one_server_has_another_has_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pointing MLFLOW_TRACKING_URI elsewhere makes the release unrecorded there; a server may have no file here."""
    mark_recorded(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert not is_marked_recorded(project)
    (project / ".tunesmith" / "mlflow.db").unlink()
    mark_recorded(project)
    assert is_marked_recorded(project)


def test_marking_nothing_marks_nothing(project: Path) -> None:
    """A mark made without a release does not hold for the release that comes later."""
    release = project / "data" / "register" / "release.json"
    release.unlink()
    mark_recorded(project)
    release.write_text("{}\n", encoding="utf-8")
    assert not is_marked_recorded(project)
