"""Laws of the `tunesmith` command: one line for a mistake, no traceback, and nothing imported that is not needed."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.champion.store import champion_folder
from flows.cli.console import freshness
from flows.cli.main import app, plain_errors
from pipeline.champion import CHAMPION_RECORD
from pipeline.files import write_json
from pipeline.params import load_params
from tests.support.repositories import PROJECT, apart, git, make_checkout

DVC_YAML = """
stages:
  ingest:
    cmd: cp in.txt one.txt
    deps: [in.txt]
    outs: [one.txt]
  register:
    cmd: cp one.txt two.txt
    deps: [one.txt]
    outs: [two.txt]
"""
SLOW = ("prefect", "mlflow", "torch", "transformers", "great_expectations", "pandas", "matplotlib")
OUTSIDE = "is not in a tunesmith project; expected dvc.yaml and params.yaml; go there, or make one with `tunesmith new`"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of which the first stage was run."""
    place = tmp_path_factory.mktemp("cli")
    params = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    files = {"in.txt": "in\n", "dvc.yaml": DVC_YAML, "params.yaml": params, ".gitignore": "/.tunesmith/\n/*.txt\n"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart(place).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", files)
        subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", "ingest"], cwd=root, check=True)
        yield root


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That project, and we stand in a folder of it."""
    (project / "deep").mkdir(exist_ok=True)
    monkeypatch.chdir(project / "deep")
    return project


def called(*words: str) -> tuple[int, str, str]:
    """Exit code, what was said, and what was said of errors."""
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("words", ["run", "status", "down", "predict hello"])
def test_outside_a_project_a_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """One line on stderr, exit 1, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    assert called(*words.split()) == (1, "", f"error: {tmp_path}: {OUTSIDE}\n")
    assert list(tmp_path.iterdir()) == []


def test_status_tells_each_stage_and_the_champion(inside: Path) -> None:
    """From any folder of the project: what is fresh, what is stale and why, and that there is no champion yet."""
    code, said, _ = called("status")
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert code == 0
    assert list(lines) == ["ingest", "register", "champion"]
    assert (lines["ingest"], lines["champion"]) == ("fresh", "none yet")
    assert lines["register"] == "stale  not run here yet"
    assert git(inside, "status", "--porcelain", "--untracked-files=no") == ""


@pytest.mark.usefixtures("inside")
def test_status_tells_programs_too() -> None:
    """As JSON the same; with --check a stale stage is an exit code of 1."""
    code, said, _ = called("status", "--json", "--check")
    told = json.loads(said)
    assert code == 1
    assert told["stages"]["ingest"] == []
    assert told["stages"]["register"]
    assert told["champion"] is None


def test_status_says_in_a_few_words_what_changed(inside: Path) -> None:
    """A stage that ran before is stale for what has changed since."""
    (inside / "in.txt").write_text("other\n", encoding="utf-8")
    lines = dict(line.split(maxsplit=1) for line in called("status")[1].splitlines())
    (inside / "in.txt").write_text("in\n", encoding="utf-8")
    assert lines["ingest"] == "stale  in.txt modified"
    assert freshness([f"file {n} modified" for n in range(9)], ran=True) == (
        "[yellow]stale[/]  file 0 modified, file 1 modified, file 2 modified, file 3 modified and 5 more"
    )


def test_status_says_what_is_wrong_with_params_before_anything_else(inside: Path) -> None:
    """In the words that `run` has for it, not in DVC's."""
    good = (inside / "params.yaml").read_text(encoding="utf-8")
    (inside / "params.yaml").write_text(good.replace("epochs: 3", "epochs: three"), encoding="utf-8")
    found = called("status")
    (inside / "params.yaml").write_text(good, encoding="utf-8")
    assert found[:2] == (1, "")
    assert "finetune.epochs" in found[2]


def test_status_names_the_champion(inside: Path) -> None:
    """Its name and the beginning of its digest."""
    name = load_params(inside / "params.yaml").register.name
    folder = champion_folder(inside, name)
    folder.mkdir(parents=True)
    write_json(folder / CHAMPION_RECORD, {"name": name, "digests": {"adapter": "0123456789abcdef"}})
    assert called("status")[1].splitlines()[-1] == f"champion   {name}, adapter 0123456789ab"
    (folder / CHAMPION_RECORD).unlink()
    folder.rmdir()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("run --until trian", "trian: no such stage; expected ingest, register; name one of them"),
        ("run --force trian", "trian: no such stage; expected ingest, register; name one of them"),
    ],
)
def test_a_mistake_is_told_in_one_line(inside: Path, words: str, error: str) -> None:
    """Where, what, and what was expected; exit 1; the checkout is free again for the next try."""
    assert called(*words.split()) == (1, "", f"error: {error}\n")
    assert called(*words.split()) == (1, "", f"error: {error}\n")
    assert not (inside / "two.txt").exists()


@pytest.mark.usefixtures("inside")
def test_without_a_champion_nobody_answers() -> None:
    """The user is told how to make one."""
    code, said, errors = called("predict", "hello")
    assert (code, said) == (1, "")
    assert errors.endswith(
        ": has no champion yet; `tunesmith run` makes one, if the gate lets it; `tunesmith promote` does\n"
    )


@pytest.mark.usefixtures("inside")
def test_stopping_what_does_not_run_is_no_mistake() -> None:
    """It is just said."""
    assert called("down") == (0, "nothing was running\n", "")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["new", "there"], "--pairs"),
        (["new", "there", "--pairs", "nowhere.jsonl"], "nowhere.jsonl"),
        (["predict"], "TEXT"),
        (["retrain"], "retrain"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], named: str
) -> None:
    """Exit 2, as other commands do, with the word that it is about."""
    monkeypatch.chdir(tmp_path)
    code, _, errors = called(*words)
    assert code == 2
    assert named in errors
    assert list(tmp_path.iterdir()) == []


def test_who_stops_a_command_reads_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends it with the exit code that shells know for it, without a traceback."""

    def stopped() -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
    try:
        with pytest.raises(typer.Exit) as ended:
            plain_errors(stopped)()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "stopped; nothing is half-written, and the next run goes on from here\n"


def test_without_a_command_the_help_is_shown() -> None:
    """All commands are named in it."""
    _, said, errors = called()
    names = "run diff pull estimate status up down watch sync new predict accept-tokens promote rollback lineage"
    assert all(f" {name} " in said + errors for name in names.split())


@pytest.mark.parametrize(
    "code",
    [
        "import flows.cli.main",
        "import flows.run.run, flows.champion.store, flows.vcs.dvc, flows.project.new, flows.service.servers, flows.service.watch",  # noqa: E501
    ],
    ids=["the command itself", "what status, new and an idle run need"],
)
def test_nobody_waits_for_a_library_that_is_not_used(code: str, tmp_path: Path) -> None:
    """What takes seconds to import is imported by the commands that use it, when they do."""
    show = f"; import sys; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + show], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_command_is_installed_under_its_name(tmp_path: Path) -> None:
    """`tunesmith` is what the examples in the help say it is."""
    command = Path(sys.executable).with_name("tunesmith")
    done = subprocess.run([command, "status"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {tmp_path}: {OUTSIDE}\n")
