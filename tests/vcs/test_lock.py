"""Laws of one run at a time in a checkout."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.vcs.lock import checkout_lock, holder_text
from pipeline.errors import UserError

HOLDER = """
import sys
from pathlib import Path
from flows.vcs.lock import checkout_lock
with checkout_lock(Path(sys.argv[1]), "tunesmith run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the checkout until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_and_told_who_runs(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """It does not wait; it says what holds the checkout, in which process and since when."""
    since = holder_text(tmp_path / ".tunesmith" / "run.json").rpartition(" ")[2].rstrip(")")
    with pytest.raises(UserError) as refused, checkout_lock(tmp_path, "tunesmith sync"):
        pass
    assert str(refused.value) == (
        f"{tmp_path}: busy: `tunesmith run` is going on (process {holder.pid}, since {since}); "
        "wait for it to end, or stop it; nothing was changed"
    )
    assert len(since) == len("23:59:59")


@pytest.mark.parametrize("end", ["ends", "is killed"])
def test_the_checkout_is_free_when_its_holder_is_gone(
    holder: "subprocess.Popen[str]", tmp_path: Path, end: str
) -> None:
    """However the holder ended, the next one can begin, and is written down as holder."""
    if end == "is killed":
        holder.kill()
    holder.communicate()
    with checkout_lock(tmp_path, "tunesmith sync"):
        held = json.loads((tmp_path / ".tunesmith" / "run.json").read_text(encoding="utf-8"))
    assert (held["what"], held["pid"]) == ("tunesmith sync", os.getpid())


def test_an_error_lets_go_of_the_checkout(tmp_path: Path) -> None:
    """A run that fails does not lock out the next one of the same process, even while its error is still looked at."""
    with pytest.raises(ValueError, match="failed") as kept, checkout_lock(tmp_path, "first"):
        raise ValueError("failed")
    with checkout_lock(tmp_path, "second"):
        assert kept.value


def test_two_checkouts_do_not_wait_for_each_other(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """The lock is the checkout's, not the user's."""
    other = tmp_path / "other"
    other.mkdir()
    with checkout_lock(other, "tunesmith run"):
        assert holder.poll() is None


@pytest.mark.parametrize("text", [None, "", "{"])
def test_a_holder_that_has_not_written_yet_is_some_other_run(tmp_path: Path, text: str | None) -> None:
    """Without a whole record, the message says what is known."""
    if text is not None:
        (tmp_path / "run.json").write_text(text, encoding="utf-8")
    assert holder_text(tmp_path / "run.json") == "another run is going on"
