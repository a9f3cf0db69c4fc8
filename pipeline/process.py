"""A child that dies with its parent, so that a killed run leaves nothing behind that writes."""

import ctypes
import os
import select
import signal
import sys
import threading
from pathlib import Path

PR_SET_PDEATHSIG = 1
RUNNER_VARIABLE = "TUNESMITH_RUNNER"
"""Environment: process id of the run that everything here belongs to."""


def bound_to_parent(command: list[str]) -> list[str]:
    """Give the command that runs *command* as a child which dies with this process.

    This file starts first in the child, binds it, and becomes *command*: same process id, group and open files. What
    `preexec_fn` does between fork and exec instead can deadlock, since this process has threads.
    """
    # -I and -S: neither the environment nor installed packages are to be looked at, which takes 10 ms only.
    return [sys.executable, "-IS", str(Path(__file__).resolve()), str(os.getpid()), *command]


def become(parent: int, command: list[str]) -> None:
    """Bind this process to its parent, and replace it by a command."""
    die_with_parent(parent)
    try:
        os.execvp(command[0], command)  # noqa: S606 -- no shell is meant
    except OSError as error:
        sys.exit(f"error: {command[0]}: cannot be started: {error.strerror}")


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to kill this process when the one that started it ends; end at once if the run has ended.

    Works on Linux; elsewhere a run that is killed outright (SIGKILL) may leave its stage running.

    Args:
        parent: The process that started this one, where it is known: it may have ended before anybody could ask.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid() if parent is None else parent
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent or not runner_lives():  # it ended before the kernel was asked
        os._exit(1)


def die_with_run() -> None:
    """Have this process killed when the run that it belongs to ends, whatever stands between the two.

    What the kernel promises in `die_with_parent` reaches one generation only. Between a run and its stage stand DVC
    and the shell that DVC starts, which some shells do not leave again and which dies with nobody.
    """
    runner = os.environ.get(RUNNER_VARIABLE)
    if runner is not None and sys.platform.startswith("linux"):
        threading.Thread(target=exit_after, args=(int(runner),), name="die-with-run", daemon=True).start()


def exit_after(pid: int) -> None:
    """Wait until a process has ended, then end this one."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        pass
    else:
        select.select([handle], [], [])
    os.kill(os.getpid(), signal.SIGKILL)


def runner_lives() -> bool:
    """Say whether the run that started all this is still there; True where there is none."""
    runner = os.environ.get(RUNNER_VARIABLE)
    if runner is None:
        return True
    try:
        os.kill(int(runner), 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
