"""Laws of children that die with their parent, in real processes."""

import os
import signal
import subprocess
import sys

import pytest

from pipeline.process import RUNNER_VARIABLE, runner_lives
from tests.support.paths import PROJECT

CHILD = """
import signal, sys
from pipeline.process import die_with_parent
die_with_parent()
print("ready", flush=True)
signal.pause()
"""
PARENT = f"""
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", {CHILD!r}])
signal.pause()
"""
STAGE = CHILD.replace("die_with_parent", "die_with_run")
RUN = f"""
import os, signal, subprocess, sys
environment = {{**os.environ, "{RUNNER_VARIABLE}": str(os.getpid())}}
subprocess.Popen(["/bin/sh", "-c", '"$0" -c "$1"; exit', sys.executable, {STAGE!r}], env=environment)
signal.pause()
"""
SECONDS = 30
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux kills a child with its parent")


def start(code: str, runner: int | None = None) -> subprocess.Popen[str]:
    """Start Python in a process group of its own, whose output ends when the last of the group has ended."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    environment.pop(RUNNER_VARIABLE, None)
    if runner is not None:
        environment[RUNNER_VARIABLE] = str(runner)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True
    )


def ended_process() -> int:
    """The id of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@linux
@pytest.mark.parametrize("code", [PARENT, RUN], ids=["parent", "run"])
def test_a_child_dies_when_what_it_belongs_to_is_killed(code: str) -> None:
    """A parent killed outright (SIGKILL) takes its child with it, and a run its stage, through a shell between them.

    It shows by the output that all of them hold: it comes to its end.
    """
    parent = start(code)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        os.kill(parent.pid, signal.SIGKILL)
        rest, _ = parent.communicate(timeout=SECONDS)
        assert (rest, parent.returncode) == ("", -signal.SIGKILL)
    finally:
        end_group(parent)


def end_group(leader: subprocess.Popen[str]) -> None:
    """End what is left of a process group, if anything is."""
    try:
        os.killpg(leader.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@linux
def test_a_child_whose_run_has_ended_does_not_begin() -> None:
    """A stage that starts when its run is already gone ends at once, before it does anything."""
    late = start(CHILD, runner=ended_process())
    try:
        said, _ = late.communicate(timeout=SECONDS)
        assert (said, late.returncode) == ("", 1)
    finally:
        end_group(late)


@linux
def test_a_child_lives_as_long_as_its_parent_and_its_run() -> None:
    """With its parent and its run alive a child goes on, until it is told to stop."""
    child = start(CHILD, runner=os.getpid())
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert child.poll() is None
        child.terminate()
        assert child.wait(timeout=SECONDS) == -signal.SIGTERM
    finally:
        end_group(child)


@pytest.mark.parametrize(("runner", "lives"), [(None, True), ("this", True), ("ended", False)])
def test_a_run_lives_if_its_process_does(monkeypatch: pytest.MonkeyPatch, runner: str | None, lives: bool) -> None:
    """Without a run to belong to, nothing has ended; with one, its process says whether it has."""
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    if runner is not None:
        monkeypatch.setenv(RUNNER_VARIABLE, str({"this": os.getpid(), "ended": ended_process()}[runner]))
    assert runner_lives() is lives
