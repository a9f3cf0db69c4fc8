"""A command in a process of its own: how long it took, and how much memory its largest process held at most."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Taken:
    """What a command took.

    Args:
        seconds: From its start to its end, that of Python and all imports included.
        mib: Resident memory of its largest process at its peak.
    """

    seconds: float
    mib: float


def alone(arguments: list[str], place: Path) -> Taken:
    """Run Python with these arguments in a folder, and stop the benchmark if that fails."""
    # Until a process runs its own program, the memory of its parent counts as its own: this file is a small parent.
    command = [sys.executable, __file__, sys.executable, *arguments]
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    quiet = {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=place, env={**os.environ, **quiet}, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
    return Taken(**json.loads(done.stdout))


def main() -> None:
    """Run the command that is named, and tell what it took."""
    started = time.perf_counter()
    child = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
    _, status, used = os.wait4(child.pid, 0)
    taken = {"seconds": time.perf_counter() - started, "mib": used.ru_maxrss / 1024}
    sys.stdout.write(json.dumps(taken) + "\n")
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
