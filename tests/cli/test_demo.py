"""Laws of taking a set of the demo: params.yaml becomes the set's, and no change of the user's is ever lost."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.demo import demo_sets, switch_params
from flows.cli.main import app
from pipeline.errors import UserError
from pipeline.params import load_params
from tests.support.repositories import PROJECT, apart, git, make_checkout

DEMO = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "data/demo").glob("*.params.yaml")}
TRIAGE = DEMO["triage.params.yaml"]
LOST = (
    "params.yaml: has changes that git does not have; commit them, or `git checkout HEAD params.yaml`, and try again; "
    "`tunesmith run` runs with them as they are"
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone, as far as the demo is concerned."""
    for name, value in apart(tmp_path).items():
        monkeypatch.setenv(name, value)
    files = {"params.yaml": TRIAGE, "dvc.yaml": "stages: {}\n", ".gitignore": "/.tunesmith/\n"}
    files |= {f"data/demo/{name}": text for name, text in DEMO.items()}
    return make_checkout(tmp_path / "clone", files, dvc=False)


def text(root: Path) -> str:
    return (root / "params.yaml").read_text(encoding="utf-8")


def edit(root: Path) -> str:
    """Change params.yaml as a user does, and return what it holds now."""
    changed = text(root).replace("epochs: 3", "epochs: 4")
    assert changed != text(root)
    (root / "params.yaml").write_text(changed, encoding="utf-8")
    return changed


def test_the_sets_are_those_that_have_params() -> None:
    """Three, each with its rows beside it, and each with params that run on them."""
    found = demo_sets(PROJECT)
    assert list(found) == ["decisions", "replies", "triage"]
    for name, path in found.items():
        assert [source.path for source in load_params(path).ingest.sources] == [f"{name}.jsonl"]
        assert (PROJECT / "data/demo" / f"{name}.jsonl").exists()


def test_each_set_has_a_model_of_its_own() -> None:
    """No set's model is ever held against another's: their names differ."""
    names = [load_params(path).register.name for path in demo_sets(PROJECT).values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["replies", "decisions"])
def test_a_set_is_taken_and_given_back(root: Path, name: str) -> None:
    """From a fresh clone to a set and back, byte for byte; each time it says how to go back."""
    assert (
        switch_params(root, name)
        == f"params.yaml is that of the {name} set now; back to the one before: tunesmith use-demo triage"
    )
    assert text(root) == DEMO[f"{name}.params.yaml"]
    assert switch_params(root, name) == f"params.yaml is that of the {name} set already"
    assert switch_params(root, "triage").endswith(f"back to the one before: tunesmith use-demo {name}")
    assert git(root, "status", "--porcelain") == ""


def test_the_set_that_is_there_is_left_alone(root: Path) -> None:
    """What a fresh clone runs is the triage set, and taking it writes nothing."""
    before = (root / "params.yaml").stat().st_mtime_ns
    assert switch_params(root, "triage") == "params.yaml is that of the triage set already"
    assert (root / "params.yaml").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["triage", "replies"])
def test_an_edited_file_is_refused(root: Path, name: str) -> None:
    """A change that git does not have stays, also one that is only staged, and also if its own set is asked for."""
    changed = edit(root)
    for staged in (False, True):
        if staged:
            git(root, "add", "params.yaml")
        with pytest.raises(UserError) as found:
            switch_params(root, name)
        assert str(found.value) == LOST
        assert text(root) == changed


def test_a_committed_change_gives_way_and_comes_back(root: Path) -> None:
    """What git has is not lost: the line says the command, and the command does it."""
    changed = edit(root)
    git(root, "commit", "--quiet", "--all", "-m", "four epochs")
    said = switch_params(root, "replies")
    assert said == "params.yaml is that of the replies set now; back to the one before: git checkout HEAD params.yaml"
    git(root, *said.rpartition("git ")[2].split())
    assert text(root) == changed


def test_without_git_nothing_but_a_set_gives_way(root: Path) -> None:
    """Where nothing could bring a file back, only the demo's own are replaced."""
    shutil.rmtree(root / ".git")
    switch_params(root, "replies")
    changed = edit(root)
    with pytest.raises(UserError, match="has changes that git does not have"):
        switch_params(root, "triage")
    assert text(root) == changed


@pytest.mark.parametrize(("word", "where"), [("replys", "replys"), ("", "SET"), ("../demo/replies", "../demo/replies")])
def test_a_wrong_set_is_told_in_one_line(root: Path, monkeypatch: pytest.MonkeyPatch, word: str, where: str) -> None:
    """By the command: what there is, exit 1, and params.yaml as it was."""
    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, ["use-demo", word])
    assert done.stderr == (
        f"error: {where}: no such set of the demo; expected decisions, replies, triage; name one of them\n"
    )
    assert (done.exit_code, done.stdout, text(root)) == (1, "", TRIAGE)


def test_the_command_says_what_it_did(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any folder of the project."""
    monkeypatch.chdir(root / "data")
    done = CliRunner().invoke(app, ["use-demo", "decisions"])
    assert done.exit_code == 0
    assert done.stdout.startswith("params.yaml is that of the decisions set now; ")
    assert load_params(root / "params.yaml").register.name == "quillmoor-decisions"


@pytest.mark.parametrize(("words", "name"), [([], "triage"), (["SET=replies"], "replies")])
def test_make_takes_the_set_and_then_runs(words: list[str], name: str) -> None:
    """`make demo` is the command for SET, triage if none is named, and then a run."""
    told = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "demo", *words],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.splitlines()[-2:] == [f".venv/bin/tunesmith use-demo '{name}'", ".venv/bin/tunesmith run"]


def test_a_fresh_clone_runs_the_triage_set() -> None:
    """The params.yaml that git has is that of the triage set, as long as it is for the demo at all."""
    committed = git(PROJECT, "show", "HEAD:params.yaml") + "\n"
    if re.search(r"^  folder: data/demo\b", committed, re.MULTILINE) is None:
        pytest.skip("params.yaml is for other pairs than the demo's")
    assert committed == TRIAGE, "copy params.yaml over data/demo/triage.params.yaml, or the other way round"
