"""Laws of the workflows' shell, run as GitHub runs it: fresh clones, a push, a pull request, the weekly check."""

import html
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.champion.promotion_log import read_promotions
from flows.review.pr_comment import COMMENT_MARKER
from flows.vcs.dvc_lock import locked_outputs
from tests.support.github_workflows import shell
from tests.support.repositories import git
from tests.support.tiny_project import NAME, Checkout, make_project

pytestmark = pytest.mark.slow  # two runs of the flow, and one of them made again

GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$GH_CALLS"
for word in "$@"; do [ "$word" != --paginate ] || cat "$GH_THERE"; done
"""
"""Stands for GitHub's command: notes how it was called, and tells which comments are there."""
WRITTEN = ("dvc.lock", "data/promotions.jsonl", "data/scored_prompts", "data/holdout_uses")
BEGIN = ("Fetch the states of runs, as far as they were pushed", "Bring back data and champion", "Run")


@dataclass(frozen=True)
class Runner:
    """A machine of GitHub's with a fresh clone, and its files for what a job says."""

    root: Path
    environment: dict[str, str]

    @property
    def temp(self) -> Path:
        """The folder of the job, outside the clone."""
        return self.root.with_name(f"{self.root.name}-temp")

    def step(self, name: str, job: str = "retrain", workflow: str = "retrain", **more: str) -> str:
        """Run the shell of a step as GitHub does, and give what it printed; it has to end well."""
        done = self.tried(name, job, workflow, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tried(
        self, name: str, job: str = "retrain", workflow: str = "retrain", **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run it, however it ends."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", shell(workflow, job, name)]
        environment = self.environment | more
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip

    def wrote(self, name: str) -> str:
        """What the steps wrote into a file of the job."""
        path = self.temp / name
        return path.read_text(encoding="utf-8") if path.exists() else ""


@dataclass(frozen=True)
class Hosted:
    """A repository that GitHub holds, with DVC's remote beside it."""

    place: Path
    environment: dict[str, str]

    def runner(self, name: str, *merged: str) -> Runner:
        """Clone main afresh, with branches merged into it as GitHub does for a pull request."""
        root = self.place / name
        git(self.place, "clone", "--quiet", "--no-local", "origin.git", name)
        for branch in merged:
            git(root, "merge", "--quiet", "--no-ff", "-m", "merged", f"origin/{branch}")
        (root / ".venv/bin").mkdir(parents=True)
        for program in ("tunesmith", "dvc"):
            (root / ".venv/bin" / program).symlink_to(Path(sys.executable).with_name(program))
        runner = Runner(root, self.environment)
        runner.temp.mkdir()
        (runner.temp / "gh").write_text(GH, encoding="utf-8")
        (runner.temp / "gh").chmod(0o755)
        (runner.temp / "there").touch()
        own = {
            "GITHUB_STEP_SUMMARY": "summary", "GITHUB_OUTPUT": "output", "GH_CALLS": "calls", "GH_THERE": "there",
        }  # fmt: skip
        files = {variable: str(runner.temp / file) for variable, file in own.items()}
        path = f"{runner.temp}{os.pathsep}{self.environment['PATH']}"
        return Runner(root, self.environment | files | {"RUNNER_TEMP": str(runner.temp), "PATH": path})


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[Hosted]:
    """The tiny project, its data pushed, before the first run."""
    made = make_project(tmp_path_factory.mktemp("github"), base)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        made.call("-m", "dvc", "remote", "add", "--default", "beside", "../store").check_returncode()
        made.call("-m", "dvc", "push").check_returncode()
        git(made.root, "commit", "--quiet", "--all", "-m", "a remote")
        git(made.root.parent, "clone", "--quiet", "--bare", str(made.root), "origin.git")
        yield Hosted(made.root.parent, made.environment)


@pytest.fixture(scope="module")
def pushed(hosted: Hosted) -> Runner:
    """After a push to main, and the commit of what the run wrote for git."""
    runner = hosted.runner("pushed")
    for name in BEGIN:
        runner.step(name)
    runner.step("Look for what the run wrote for git", REF="refs/heads/main", COMMITS="true")
    runner.step("Tell what changes", BEFORE="0" * 40)
    keeper = hosted.runner("keeper")
    for name in WRITTEN:  # as an artifact brings them
        subprocess.run(
            ["cp", "--recursive", "--no-target-directory", runner.root / name, keeper.root / name], check=True
        )
    keeper.step("Commit it", "keep", COMMIT=git(runner.root, "rev-parse", "HEAD"))
    return runner


@pytest.fixture(scope="module")
def asked(hosted: Hosted, pushed: Runner) -> Runner:
    """After a pull request that adds six rows, whose text would be Markdown, to what the push left."""
    assert "changed=true" in pushed.wrote("output")
    person = hosted.runner("person")
    person.step("Bring back data and champion")
    raw = person.root / "data/raw/colours.jsonl"
    rows = [json.loads(line) for line in raw.read_text(encoding="utf-8").splitlines()]
    more = [{"prompt": f"@all <b>which|colour is dusk {n}?", "completion": "red"} for n in range(6)]
    raw.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, *more]), encoding="utf-8")
    work = Checkout(person.root, hosted.environment)
    work.call("-m", "dvc", "add", "--quiet", "data/raw").check_returncode()
    work.call("-m", "dvc", "push").check_returncode()
    git(person.root, "checkout", "--quiet", "-b", "more-rows")
    git(person.root, "commit", "--quiet", "--all", "-m", "more rows")
    git(person.root, "push", "--quiet", "origin", "more-rows")
    runner = hosted.runner("asked", "more-rows")
    for name in BEGIN:
        runner.step(name)
    runner.step("Look for what the run wrote for git", REF="refs/pull/1/merge", COMMITS="true")
    runner.step("Tell what changes", BEFORE="HEAD^1")
    return runner


def test_a_run_on_main_is_kept(hosted: Hosted, pushed: Runner) -> None:
    """What it wrote is on main: the lock file, the champion's record, what was tested; and nothing else."""
    fresh = hosted.runner("fresh")
    assert locked_outputs(fresh.root) == locked_outputs(pushed.root) != {}
    assert [move.adapter for move in read_promotions(fresh.root, NAME)] == [
        move.adapter for move in read_promotions(pushed.root, NAME)
    ]
    changed = git(fresh.root, "diff", "--name-only", "HEAD^").splitlines()
    assert [name for name in changed if not name.startswith(WRITTEN)] == []
    assert "changed=true" in pushed.wrote("output").splitlines()
    assert "artifact" not in pushed.wrote("summary")


def test_the_first_run_is_told_without_anything_before_it(pushed: Runner) -> None:
    """The measures of now, and why there are none of then."""
    text = html.unescape(pushed.wrote("comment.md"))
    assert "has no dvc.lock, so it names no release" in text
    assert "| verdict | not known | promoted |" in text
    assert pushed.wrote("comment.md") in pushed.wrote("summary")


def test_a_pull_request_is_told_what_it_changes(asked: Runner, pushed: Runner) -> None:
    """Measures before and after, each with interval and n; rows that came, of which nothing is taken for Markdown."""
    text = asked.wrote("comment.md")
    assert text.startswith(f"{COMMENT_MARKER}\n")
    assert "not known" not in text
    (accuracy,) = [line for line in text.splitlines() if line.startswith("| <code>accuracy</code> |")]
    assert all(" to " in cell and "n=" in cell for cell in accuracy.split(" | ")[1:3])
    before = json.loads((pushed.root / "data/register/release.json").read_bytes())
    assert f"{before['metrics']['arms']['fine-tuned']['accuracy']['value']:.3f} (" in accuracy
    assert "60 rows before, 66 after, 60 unchanged." in text
    assert "@all" not in text
    assert "<b>" not in text
    assert "@all <b>which|colour is dusk 0?" in html.unescape(text)


def test_a_run_in_ci_meets_the_champion(asked: Runner, pushed: Runner) -> None:
    """The clone had none; it came back from the remote, else every candidate would be the first."""
    release = json.loads((asked.root / "data/register/release.json").read_bytes())
    assert release["champion_before"] == read_promotions(pushed.root, NAME)[-1].adapter
    assert "champion" in release["metrics"]["arms"]
    assert "unpack the artifact `state`" in asked.wrote("summary")


def test_there_is_one_comment(asked: Runner) -> None:
    """The first time it is made; afterwards the same one is written anew, whatever else was said since."""
    places = {"COMMENTS": "repos/o/n/issues/1/comments", "COMMENT": "repos/o/n/issues/comments", "GH_TOKEN": "-"}
    name = "Comment, in the place of the last one"
    asked.step(name, "comment", **places)
    (asked.temp / "there").write_text("77\n", encoding="utf-8")
    asked.step(name, "comment", **places)
    calls = asked.wrote("calls").splitlines()
    assert [call.split(" --jq")[0] for call in calls] == [
        "api --paginate repos/o/n/issues/1/comments",
        "api --silent --method POST repos/o/n/issues/1/comments --field body=@comment.md",
        "api --paginate repos/o/n/issues/1/comments",
        "api --silent --method PATCH repos/o/n/issues/comments/77 --field body=@comment.md",
    ]


def test_the_champion_is_made_again_from_git_and_the_remote(hosted: Hosted, pushed: Runner) -> None:
    """In a clone that never ran anything, byte for byte; the comparison stands in the summary."""
    assert pushed.root.exists()
    runner = hosted.runner("weekly")
    runner.step("Fetch the states of runs, as far as they were pushed", "reproduce", "reproduce")
    runner.step("Make it again", "reproduce", "reproduce", WHAT="@champion")
    runner.step("Show the comparison", "reproduce", "reproduce")
    assert runner.wrote("comparison").splitlines()[-1] == "identical"
    assert runner.wrote("comparison") in runner.wrote("summary")


def test_a_champion_that_cannot_be_made_again_fails_loudly(hosted: Hosted) -> None:
    """The step ends with 1 though its output goes through a pipe, and the summary has the reason."""
    runner = hosted.runner("lost")
    (runner.root / "data/promotions.jsonl").write_bytes(b"")
    done = runner.tried("Make it again", "reproduce", "reproduce", WHAT="@champion")
    runner.step("Show the comparison", "reproduce", "reproduce")
    assert done.returncode == 1
    assert f"error: {NAME}@champion: nobody was ever promoted; " in runner.wrote("summary")
