"""What a stage prints, as people want to read it: its own words and bars, without DVC's advice."""

import sys
from collections.abc import Callable

PrintLine = Callable[[str], None]
"""Shows people one line."""

DVC_ADVICE = (
    b"Running stage ",
    b"> python -m ",
    b"Generating lock file",
    b"Updating lock file",
    b"To track the changes with git",
    b"\tgit add ",
    b"To enable auto staging",
    b"\tdvc config core.autostage",
    b"Use `dvc push`",
    b"Stage '",
    b"Verifying data",
    b"WARNING: Process '",  # an earlier run was killed; its locks are gone
    b"WARNING: 'data/golden_tokens.jsonl' is empty",  # until tokens are accepted
    b"ERROR: failed to reproduce",
)

ERROR_PREFIX = b"error: "
"""A stage's last word, which the command repeats when the run has ended; once is enough for people."""


def print_output(seen: bytes) -> None:
    """Show people what a stage prints, as it comes."""
    sys.stderr.buffer.write(seen)
    sys.stderr.flush()


class OutputFilter:
    """Takes output in pieces as it comes, passes bars on at once and lines when they are whole.

    Args:
        write: Where the bytes go that people see.
        log: Where each whole line goes, without the states a bar went through.
    """

    def __init__(self, write: Callable[[bytes], object], log: Callable[[str], object]) -> None:
        self.write = write
        self.log = log
        self.rest = b""

    def __call__(self, chunk: bytes) -> None:
        """Take a piece."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        if b"\r" in self.rest:  # a bar, which redraws itself in place
            seen, _, self.rest = self.rest.rpartition(b"\r")
            self.write(seen + b"\r")

    def _line(self, line: bytes) -> None:
        if not line.strip() or line.startswith(DVC_ADVICE):
            return
        if not line.startswith(ERROR_PREFIX):
            self.write(line + b"\n")
        self.log(line.rpartition(b"\r")[2].decode(errors="replace").strip())
