"""Child processes: their environment, their output line by line, and the end of their whole process group."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.process import RUNNER_VARIABLE, bound_to_parent

GRACE_SECONDS = 5

POLL_SECONDS = 0.5


def child_environment(**more: str) -> dict[str, str]:
    """Make the environment of a child: our Python first, so that `python` in a stage's command is this one."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", RUNNER_VARIABLE: str(os.getpid()), **more}


def run_streaming(
    command: list[str], folder: Path, env: dict[str, str], show: Callable[[bytes], None]
) -> tuple[int, bytes]:
    """Run a command in a process group of its own to its end: its exit code, and the end of what it printed.

    Whatever ends this early, ends the whole group.
    """
    process = subprocess.Popen(
        bound_to_parent(command),
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    output = b""
    try:
        for chunk in stream_output(process):
            output = (output + chunk)[-20_000:]
            show(chunk)
        return process.wait(), output
    finally:
        end_process_group(process)
        if process.stdout is not None:
            process.stdout.close()


def stream_output(process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
    """Give what a process prints as soon as it prints it, until it has ended.

    Not until its output ends: a stage whose DVC was killed still holds that open.
    """
    if process.stdout is None:
        raise RuntimeError("the process was started without a pipe")
    output = process.stdout.fileno()
    while True:
        ended = process.poll() is not None  # asked first: what it printed before it ended is still read
        if select.select([output], [], [], 0 if ended else POLL_SECONDS)[0]:
            chunk = os.read(output, 65536)
            if not chunk:
                return
            yield chunk
        elif ended:
            return


def end_process_group(process: "subprocess.Popen[bytes]") -> None:
    """End every process of the group; DVC is asked first, and whatever outlives it is killed."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
        except ProcessLookupError:
            break
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
