"""Laws of children that die with their parent, in real processes."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from pipeline.process import RUNNER_VARIABLE, bound_to_parent, runner_lives
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
LAUNCHED = """
import signal
print("ready", flush=True)
signal.pause()
"""
LAUNCHER = f"""
import signal, subprocess, sys
from pipeline.process import bound_to_parent
subprocess.Popen(bound_to_parent([sys.executable, "-c", {LAUNCHED!r}]))
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
@pytest.mark.parametrize("code", [PARENT, LAUNCHER, RUN], ids=["parent", "launcher", "run"])
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
    """End what is left of a process group, if anything is, and close its output."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    if leader.stdout is not None:
        leader.stdout.close()


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


def test_the_launcher_becomes_the_command() -> None:
    """The process that was started is the command itself: its id, working folder, arguments, exit code."""
    code = "import os, sys; print(os.getpid(), os.getcwd(), sys.argv[1:], flush=True); sys.exit(7)"
    command = bound_to_parent([sys.executable, "-c", code, "-a", "b c"])
    child = subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, text=True)
    said, _ = child.communicate(timeout=SECONDS)
    assert (said, child.returncode) == (f"{child.pid} / ['-a', 'b c']\n", 7)


def test_the_launcher_says_in_one_line_what_it_cannot_start() -> None:
    done = subprocess.run(
        bound_to_parent(["/no/such/program"]), capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert (done.stderr, done.returncode) == (
        "error: /no/such/program: cannot be started: No such file or directory\n",
        1,
    )


@linux
def test_the_launcher_starts_nothing_for_a_parent_that_is_gone() -> None:
    """A parent that ended before the kernel was asked is known by its id: the child has another parent then."""
    command = bound_to_parent([sys.executable, "-c", "print('started')"])
    command[command.index(str(os.getpid()))] = str(ended_process())
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (done.stdout, done.returncode) == ("", 1)


def test_nothing_runs_between_fork_and_exec() -> None:
    """`preexec_fn` can deadlock in a process with threads, which those of Prefect are."""
    word = "preexec" + "_fn="
    code = [path for folder in ("flows", "pipeline") for path in (PROJECT / folder).rglob("*.py")]
    assert [path for path in code if word in path.read_text(encoding="utf-8")] == []
