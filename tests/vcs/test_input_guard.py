"""Laws of what is changed while a run goes on: it has no part in the run, or the run stops and keeps nothing false."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.vcs.dvc import StageFailed, run_dvc, stale_stages
from flows.vcs.input_guard import changed_inputs, guard_inputs, require_unchanged
from flows.vcs.snapshot import changed_paths, write_snapshot
from flows.vcs.subprocesses import child_environment
from tests.support.repositories import apart, git, make_checkout

DVC_YAML = """
stages:
  one:
    cmd: cp ${ingest.folder}/a one.txt && touch begun && sleep 2 && echo ran >> ran.log
    deps: ["${ingest.folder}", code.py]
    params: [ingest]
    outs: [one.txt]
  two:
    cmd: cp one.txt two.txt
    deps: [one.txt]
    params: [evaluate.seed]
    outs: [two.txt]
"""
FILES = {
    ".gitignore": "/.tunesmith/\n/one.txt\n/two.txt\n/begun\n/ran.log\n",
    "dvc.yaml": DVC_YAML,
    "params.yaml": "ingest: {folder: data/raw}\nevaluate: {seed: 1}\n",
    "code.py": "first\n",
    "data/raw/a": "of a\n",
    "data/promotions.jsonl": "",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in apart(tmp_path).items():
        monkeypatch.setenv(name, value)
    return make_checkout(tmp_path / "project", FILES)


def run_while(root: Path, path: str, text: str) -> None:
    """Let DVC run the first stage, and change a file once it has read its inputs."""
    words = [sys.executable, "-m", "dvc", "repro", "--quiet", "--single-item", "one"]
    process = subprocess.Popen(
        words, cwd=root, env=child_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (root / "begun").exists():
        time.sleep(0.05)
    (root / path).write_text(text, encoding="utf-8")
    assert process.wait() == 0


@pytest.mark.slow  # five commands of DVC for each
@pytest.mark.parametrize(("path", "text"), [("data/raw/a", "newer\n"), ("code.py", "second\n"), ("data/raw/b", "b\n")])
def test_what_a_stage_read_and_what_dvc_noted_are_the_same_or_nothing_is_kept(
    project: Path, path: str, text: str
) -> None:
    """DVC by itself takes the stage for fresh. It is run anew instead, and never restored with the wrong inputs."""
    held = guard_inputs(project)
    run_while(project, path, text)
    assert "one" not in stale_stages(project)
    with pytest.raises(StageFailed) as told:
        require_unchanged(project, held, "one")
    assert str(told.value) == f"one: changed while the run went on: {path}; run it again"
    assert "one" in stale_stages(project)
    run_dvc(project, "repro", "--quiet", "--single-item", "one")
    assert (project / "ran.log").read_text(encoding="utf-8") == "ran\nran\n"
    assert (project / "one.txt").read_text(encoding="utf-8") == (project / "data/raw/a").read_text(encoding="utf-8")
    require_unchanged(project, guard_inputs(project), "one")


def test_what_the_stage_does_not_read_may_change(project: Path) -> None:
    """Another stage's params, what is touched without a change; params of its own may not."""
    held = guard_inputs(project)
    run_while(project, "params.yaml", "ingest: {folder: data/raw}\nevaluate: {seed: 2}\n")
    os.utime(project / "code.py")
    require_unchanged(project, held, "one")
    run_dvc(project, "repro", "--quiet", "--single-item", "two")
    assert changed_inputs(project, held.met, "two") == ["params.yaml: evaluate.seed"]


def test_the_state_of_a_run_is_that_which_it_met(project: Path) -> None:
    """With what the run wrote itself, and without what was edited, added, staged or committed meanwhile."""
    (project / "code.py").write_text("not committed\n", encoding="utf-8")
    first, held = git(project, "rev-parse", "HEAD"), guard_inputs(project)
    (project / "dvc.lock").write_text("of the run\n", encoding="utf-8")
    (project / "data/promotions.jsonl").write_text("of the run\n", encoding="utf-8")
    (project / "code.py").write_text("edited meanwhile\n", encoding="utf-8")
    (project / "new.py").write_text("added meanwhile\n", encoding="utf-8")
    git(project, "commit", "--quiet", "--all", "-m", "committed meanwhile")
    before = git(project, "status", "--porcelain"), changed_paths(project)
    kept = write_snapshot(project, "r1", held.begun)
    assert (kept.head, kept.clean) == (first, False)
    assert git(project, "rev-parse", f"{kept.commit}^") == first
    found = {
        name: git(project, "show", f"{kept.commit}:{name}") for name in ("code.py", "dvc.lock", "data/promotions.jsonl")
    }
    assert found == {"code.py": "not committed", "dvc.lock": "of the run", "data/promotions.jsonl": "of the run"}
    assert "new.py" not in git(project, "ls-tree", "--name-only", kept.commit).split()
    assert (git(project, "status", "--porcelain"), changed_paths(project)) == before
