"""Laws of the process round a stage, in real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import PROJECT

STAGE = """
import logging
from pipeline import runner
from pipeline.errors import UserError

def run(params, data):
    logging.getLogger("pipeline.a").info("seed %d, data in %s", params.finetune.seed, data)
    {act}

runner.main(run)
"""


def run_stage(folder: Path, act: str, params: str | None) -> subprocess.CompletedProcess[str]:
    """Run a stage that does this, in a folder with this params.yaml."""
    if params is not None:
        (folder / "params.yaml").write_text(params, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TUNESMITH_JOURNAL": str(folder / "journal.jsonl")}
    environment.pop("TUNESMITH_RUNNER", None)
    return subprocess.run(
        [sys.executable, "-c", STAGE.format(act=act)],
        check=False, cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip


def journal(folder: Path) -> list[dict[str, object]]:
    """What the journal tells, without times and process ids."""
    lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key in {"event", "line"}} for line in lines]


@pytest.fixture(scope="module")
def params() -> str:
    return (PROJECT / "params.yaml").read_text(encoding="utf-8")


def test_a_stage_that_ends_well_says_so_in_the_journal(tmp_path: Path, params: str) -> None:
    """A stage is given params and the data folder, logs to stderr, exits with 0, and journals start and end."""
    done = run_stage(tmp_path, "pass", params)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "seed 1, data in data\n")
    assert journal(tmp_path) == [{"event": "start"}, {"event": "end"}]


def test_a_problem_is_one_line_and_exit_code_1(tmp_path: Path, params: str) -> None:
    """What the user can put right ends the stage with one line, without a traceback, and the journal has the line."""
    done = run_stage(tmp_path, "raise UserError('a.jsonl row 3', 'is empty', do='fill it')", params)
    line = "a.jsonl row 3: is empty; fill it"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"seed 1, data in data\nerror: {line}\n")
    assert journal(tmp_path) == [{"event": "start"}, {"event": "problem", "line": line}]


def test_missing_params_are_a_problem_too(tmp_path: Path) -> None:
    """Outside a project the stage says where to run it, and runs nothing."""
    done = run_stage(tmp_path, "pass", None)
    line = "params.yaml: no such file; run this in the project's folder"
    assert (done.returncode, done.stderr) == (1, f"error: {line}\n")
    assert journal(tmp_path) == [{"event": "start"}, {"event": "problem", "line": line}]


def test_any_other_exception_is_left_alone(tmp_path: Path, params: str) -> None:
    """A fault of the program keeps its traceback, and the journal has no end for it."""
    done = run_stage(tmp_path, "raise RuntimeError('a bug')", params)
    assert done.returncode == 1
    assert "Traceback (most recent call last):" in done.stderr
    assert done.stderr.endswith("RuntimeError: a bug\n")
    assert journal(tmp_path) == [{"event": "start"}]
