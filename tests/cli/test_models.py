"""Laws of the commands on models: what was measured, and where the report is, for people and for programs."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from pipeline.files import write_json
from tests.support.repositories import PROJECT

SHARE = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}
METRICS = {"metric": "accuracy", "n": 8, "arms": {"fine-tuned": {"accuracy": SHARE}}, "comparisons": {}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a release and a report."""
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    (tmp_path / "data/register").mkdir(parents=True)
    write_json(tmp_path / "data/register/release.json", {"metrics": METRICS})
    (tmp_path / "data/register/report.html").write_text("<!doctype html>", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("root")
def test_metrics_are_shown_as_a_table_and_as_json() -> None:
    """The same numbers both times, with their interval."""
    shown, told = (CliRunner().invoke(app, ["metrics", *more]) for more in ([], ["--json"]))
    assert shown.output.splitlines()[-1].split() == ["fine-tuned", "accuracy", "0.500", "0.250", "to", "0.750", "8"]
    assert json.loads(told.output) == METRICS


def test_without_a_release_metrics_say_what_to_do(root: Path) -> None:
    """One line, and exit code 1."""
    (root / "data/register/release.json").unlink()
    done = CliRunner().invoke(app, ["metrics"])
    assert (done.exit_code, done.stderr) == (
        1, "error: data/register/release.json: no such file; `tunesmith run` measures a model\n",
    )  # fmt: skip


def test_the_report_is_named_from_anywhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With -C, too, from outside the project."""
    monkeypatch.chdir("/")
    done = CliRunner().invoke(app, ["-C", str(root), "report"])
    assert done.output == f"{root / 'data/register/report.html'}\n"


def test_with_another_folder_the_tools_keep_their_things_there(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was set for the project that we stood in follows; what the user set stays."""
    here = tmp_path_factory.mktemp("here")
    for name in ("params.yaml", "dvc.yaml"):
        (here / name).write_bytes((root / name).read_bytes())
    monkeypatch.chdir(here)
    monkeypatch.setenv("PREFECT_HOME", str(here / ".tunesmith/prefect"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", "/mine")
    assert CliRunner().invoke(app, ["-C", str(root), "report"]).exit_code == 0
    assert (os.environ["PREFECT_HOME"], os.environ["DVC_SITE_CACHE_DIR"]) == (str(root / ".tunesmith/prefect"), "/mine")


def test_the_report_is_opened_in_the_browser(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its address; where there is no browser, that is said."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: not opened.append(address))
    assert CliRunner().invoke(app, ["report", "--open"]).exit_code == 0
    assert opened == [(root / "data/register/report.html").as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda _address: False)
    assert "no browser can be started here" in CliRunner().invoke(app, ["report", "--open"]).stderr


def test_the_version_is_that_of_the_package() -> None:
    """As pyproject has it."""
    assert CliRunner().invoke(app, ["--version"]).output == "tunesmith 0.1.0\n"
