"""Laws of GitHub's workflows: what they call is there, and no token can do more than it must."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import typer

from flows.cli.main import app
from flows.review.pr_comment import COMMENT_MARKER
from pipeline.params import load_params, read_yaml
from tests.support.github_workflows import NAMES, Step, steps, workflow
from tests.support.repositories import PROJECT

SHELLS = [step for step in steps() if step.shell]
WRITES = {("retrain", "comment"): {"pull-requests"}, ("retrain", "keep"): {"contents"}}
"""The only jobs whose token can write, and what."""


def test_every_workflow_is_looked_at() -> None:
    """There is none but those that the laws here are held to."""
    assert sorted(path.name for path in (PROJECT / ".github/workflows").iterdir()) == [f"{name}.yml" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_is_bounded(name: str) -> None:
    """In what its token can do, in time, and in how many run at once; a pipe in its shell fails when a part does."""
    told = workflow(name)
    assert told["permissions"] == {"contents": "read"}
    assert "github.ref" in told["concurrency"]["group"]
    assert all(0 < job["timeout-minutes"] <= 360 for job in told["jobs"].values())
    piped = [step for step in SHELLS if step.workflow == name and "|" in step.shell]
    assert not piped or told["defaults"]["run"]["shell"] == "bash"


def test_only_what_runs_no_code_of_the_project_can_write() -> None:
    """What comes with a pull request never has a token that writes."""
    jobs = {(name, job): told for name in NAMES for job, told in workflow(name)["jobs"].items()}
    writing = {
        place: {scope for scope, may in told.get("permissions", {}).items() if may == "write"}
        for place, told in jobs.items()
        if "write" in told.get("permissions", {}).values()
    }
    assert writing == WRITES
    for step in SHELLS:
        if (step.workflow, step.job) in WRITES:
            assert not re.search(r"\.venv|\./|\bmake\b|\bpython", step.shell), str(step)


@pytest.mark.parametrize("step", list(steps()), ids=str)
def test_a_step_has_a_name_and_an_action_is_pinned(step: Step) -> None:
    """To a major version or a commit; and it is one of GitHub's own."""
    assert step.said["name"]
    if not step.shell:
        assert re.fullmatch(r"actions/[a-z-]+(/[a-z-]+)?@(v\d+|[0-9a-f]{40})", step.said["uses"])


@pytest.mark.parametrize("step", SHELLS, ids=str)
def test_what_the_shell_calls_is_there(step: Step) -> None:
    """Targets of make, commands of tunesmith with their options, and programs of the environment."""
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(re.findall(r"\bmake ([a-z-]+)", step.shell)) <= set(targets)
    for verb, rest in re.findall(r"\.venv/bin/tunesmith ([a-z-]+)([^|>\n]*)", step.shell):
        options = {option for param in commands[verb].params for option in param.opts}
        assert set(re.findall(r"(?<=\s)--[a-z-]+", rest)) <= options
    for program in re.findall(r"\.venv/bin/([a-z-]+)", step.shell):
        assert Path(sys.executable).with_name(program).exists()


@pytest.mark.parametrize("step", SHELLS, ids=str)
def test_the_shell_understands_it_and_nobody_can_write_into_it(step: Step) -> None:
    """Names of branches and titles are written by others: what GitHub fills in comes by the environment alone."""
    assert "${{" not in step.shell
    done = subprocess.run(["bash", "-n"], input=step.shell, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_ci_does_what_its_script_does() -> None:
    """The same verbs in the same order."""
    script = (PROJECT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert [step.shell for step in SHELLS if step.workflow == "ci"] == [
        line for line in script if line.startswith("make ")
    ]


def test_whatever_makes_a_stage_stale_is_run() -> None:
    """Each file that a stage depends on and no stage writes, wherever pairs may lie; before a merge and after it."""
    asked = workflow("retrain")["on"]
    assert asked["push"]["paths"] == asked["pull_request"]["paths"]
    told = read_yaml(PROJECT / "dvc.yaml")["stages"].values()
    written = {out for stage in told for out in [*stage["outs"], *stage.get("metrics", [])]}
    params = load_params(PROJECT / "params.yaml")
    folders = {"${ingest.folder}": params.ingest.folder, "${baselines.rag_folder}": params.baselines.rag_folder}
    folders["${evaluate.forgetting_probe}"] = params.evaluate.forgetting_probe
    deps = {folders.get(dep, dep) for stage in told for dep in stage["deps"]} - written
    own = {"data/champion", "data/scored_prompts", "data/holdout_uses"}  # what runs write, not people
    read = {f"{dep}/x" if (PROJECT / dep).is_dir() else dep for dep in deps - own}
    files = {*read, "params.yaml", "dvc.yaml", "dvc.lock", "data/raw.dvc", "data/raw/a.jsonl"}
    assert [name for name in files if not any(fnmatch(name, path) for path in asked["push"]["paths"])] == []


def test_a_comment_is_found_by_the_line_that_it_begins_with() -> None:
    """Else each push would leave another one."""
    (step,) = [step for step in SHELLS if (step.workflow, step.job) == ("retrain", "comment")]
    assert f'startswith("{COMMENT_MARKER}")' in step.shell
