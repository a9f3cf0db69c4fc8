"""Laws of bringing one DVC stage up to date, on a toy project with real git, DVC and processes."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.vcs.dvc import (
    RunJournal,
    StageFailed,
    StageOutcome,
    failure_reason,
    reproduce_stage,
    run_dvc,
    stage_names,
    stale_reasons,
    stale_stages,
    track_raw_data,
)
from pipeline.errors import UserError
from tests.support.repositories import PROJECT, apart, make_checkout

STAGE = """
import os, signal, sys
from pathlib import Path
from pipeline import runner
from pipeline.errors import UserError

def run(params, data):
    text = Path("in.txt").read_text()
    if text == "problem":
        raise UserError("in.txt", "says nothing", do="write into it")
    if text == "crash":
        raise ValueError("a bug")
    if text == "mute":
        os._exit(3)
    if text == "hang":
        print("hanging", flush=True)
        signal.pause()
    Path("out.txt").write_text(text.upper())
    print("shouted", flush=True)

runner.main(run)
"""
DVC_YAML = """
stages:
  shout:
    cmd: python shout.py
    deps: [in.txt, shout.py]
    outs: [out.txt]
  after:
    cmd: cp out.txt last.txt
    deps: [out.txt]
    outs: [last.txt]
"""
RUNNER = """
import sys
from pathlib import Path
from flows.vcs.dvc import RunJournal, reproduce_stage
def show(chunk):
    sys.stdout.buffer.write(chunk)
    sys.stdout.flush()
here = Path.cwd()
reproduce_stage(here, "shout", RunJournal(here / "journal.jsonl"), show, force=False, live=here / "live.jsonl")
"""
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux kills a child with its parent")
Bring = Callable[..., StageOutcome]


@dataclass(frozen=True)
class Hanging:
    """A runner whose stage hangs, and a handle on the runner, on dvc and on the stage."""

    runner: "subprocess.Popen[bytes]"
    handles: dict[str, int]

    def kill(self, victim: str) -> None:
        """Kill one of the three outright."""
        signal.pidfd_send_signal(self.handles[victim], signal.SIGKILL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after one run, made once; tests work on copies."""
    place = tmp_path_factory.mktemp("made")
    params = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    ignored = "/journal.jsonl\n/out.txt\n/last.txt\n"
    files = {"in.txt": "one", "shout.py": STAGE, "dvc.yaml": DVC_YAML, "params.yaml": params, ".gitignore": ignored}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart(place).items():
            patch.setenv(name, value)
        root = make_checkout(place / "toy", files)
        assert bring_in(root, lambda _: None) == "ran"
    return root


@pytest.fixture
def toy(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in apart(tmp_path).items():
        monkeypatch.setenv(name, value)
    return shutil.copytree(made, tmp_path / "toy", symlinks=True)


@pytest.fixture
def seen() -> list[bytes]:
    return []


def bring_in(root: Path, show: Callable[[bytes], None], *, force: bool = False) -> StageOutcome:
    journal = RunJournal(root / "journal.jsonl")
    return reproduce_stage(root, "shout", journal, show, force=force, live=root / "live.jsonl")


@pytest.fixture
def bring(toy: Path, seen: list[bytes]) -> Bring:
    """Write in.txt, if its text is given, and bring the stage up to date."""

    def up(text: str | None = None, *, force: bool = False) -> StageOutcome:
        if text is not None:
            (toy / "in.txt").write_text(text, encoding="utf-8")
        return bring_in(toy, seen.append, force=force)

    return up


@pytest.fixture
def hanging(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    monkeypatch.setenv("SHELL", "/bin/sh")  # DVC then puts shells between itself and the stage, and some stay there
    (toy / "in.txt").write_text("hang", encoding="utf-8")
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER], cwd=toy, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip
    assert runner.stdout
    assert any(line == b"hanging\n" for line in runner.stdout)
    of_stage = [entry["pid"] for entry in RunJournal(toy / "journal.jsonl").entries() if entry["event"] == "start"][-1]
    pids = {"runner": runner.pid, "dvc": os.getpgid(of_stage), "stage": of_stage}
    found = Hanging(runner, {name: os.pidfd_open(pid) for name, pid in pids.items()})
    yield found
    for name, handle in found.handles.items():
        with suppress(ProcessLookupError):
            found.kill(name)
        os.close(handle)
    runner.communicate()


def test_a_stage_ran_or_is_fresh_or_came_from_the_cache(toy: Path, bring: Bring, seen: list[bytes]) -> None:
    """What DVC did with a stage is told apart, and the output is there each time."""
    told = [(bring(text), (toy / "out.txt").read_text(encoding="utf-8")) for text in (None, "two", "one")]
    assert told == [("fresh", "ONE"), ("ran", "TWO"), ("cached", "ONE")]
    assert b"".join(seen).count(b"shouted") == 1
    assert [entry["event"] for entry in RunJournal(toy / "journal.jsonl").entries()] == ["start", "end"] * 2


def test_a_forced_stage_runs_although_it_is_fresh(toy: Path, bring: Bring, seen: list[bytes]) -> None:
    """Force runs the stage itself, from its beginning: no output from the cache, no checkpoint of another attempt."""
    left = toy / ".tunesmith" / "checkpoints" / "of an attempt that broke off"
    left.mkdir(parents=True)
    assert bring(force=True) == "ran"
    assert not left.exists()
    assert b"shouted\n" in b"".join(seen)


def test_only_the_stage_that_was_named_ran(toy: Path) -> None:
    """A stage behind it is left for its own turn, stale."""
    assert not (toy / "last.txt").exists()
    assert list(stale_stages(toy)) == ["after"]


def test_a_failed_stage_says_why_in_its_own_words(bring: Bring) -> None:
    """The reason is the line that the stage gave at this attempt: not DVC's account of it, nor an older line."""
    told = {"problem": "in.txt: says nothing; write into it", "crash": "ValueError: a bug"}
    for text, words in told.items():
        with pytest.raises(StageFailed) as failed:
            bring(text)
        assert str(failed.value) == f"shout: {words}"
        assert (failed.value.where, failed.value.what) == ("shout", words)


def test_a_stage_that_ends_without_a_word_is_told_by_its_exit(bring: Bring) -> None:
    """Where the stage said nothing, the reason names what it ended with, not the command that DVC started."""
    with pytest.raises(StageFailed, match=r"\b3\b"):
        bring("mute")


@pytest.mark.parametrize(
    ("output", "code", "words"),
    [
        (b"finetune:  83%|####\r", -9, "its process was killed by signal 9; run it again"),
        (b"ERROR: failed to run: python -m pipeline.finetune, exited with -9", 255,
         "its process was killed by signal 9; run it again"),
        (b"ERROR: failed to run: python -m pipeline.finetune, exited with 137", 255,
         "its process was killed by signal 9; run it again"),
        (b"no such thing\nERROR: failed to reproduce 'x': failed to run: x, exited with 255", 255, "no such thing"),
    ],
)  # fmt: skip
def test_what_ended_a_stage_is_named(output: bytes, code: int, words: str) -> None:
    """DVC killed or its stage, through a shell or not; and an exit code that is no signal's is not taken for one."""
    assert failure_reason([], output, code) == words


@LINUX
@pytest.mark.parametrize("victim", ["runner", "dvc", "stage"])
def test_whoever_is_killed_no_stage_stays_alive(hanging: Hanging, victim: str) -> None:
    """SIGKILL to the runner, to dvc or to the stage leaves none of the three behind."""
    hanging.kill(victim)
    left = {handle: name for name, handle in hanging.handles.items()}
    while left:
        ended, _, _ = select.select(list(left), [], [], 30)
        assert ended, f"still alive: {', '.join(left.values())}"
        left = {handle: name for handle, name in left.items() if handle not in ended}
    assert hanging.runner.wait() != 0


@LINUX
def test_a_killed_stage_is_told_by_its_end_and_not_by_its_last_line(hanging: Hanging) -> None:
    """What a stage last printed before the machine ran out of memory is no reason; that it was killed is."""
    hanging.kill("stage")
    _, words = hanging.runner.communicate()
    assert re.search(rb"killed|SIGKILL|exited with (-9|137)", words.splitlines()[-1])


def test_stages_come_in_the_order_of_dvc_yaml(toy: Path) -> None:
    """The order is the file's."""
    assert stage_names(toy) == ["shout", "after"]


def test_status_says_which_stage_is_stale_and_why(toy: Path) -> None:
    """A changed file is named for the stage that depends on it, and for no other."""
    (toy / "in.txt").write_text("changed", encoding="utf-8")
    found = stale_stages(toy)
    assert found["shout"] == ["in.txt modified"]
    assert set(found) == {"shout", "after"}
    assert not [why for why in found["after"] if "in.txt" in why]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([{"changed deps": {"a.txt": "modified", "b.txt": "deleted"}}], ["a.txt modified", "b.txt deleted"]),
        ([{"changed outs": {"out.txt": "not in cache"}}], ["out.txt not in cache"]),
        (
            [{"changed deps": {"params.yaml": {"finetune.rank": "modified", "finetune.alpha": "new"}}}],
            ["params: finetune.alpha, finetune.rank"],
        ),
        (["changed command"], ["changed command"]),
        (["always changed", {"changed deps": {"a": "new"}}], ["always changed", "a new"]),
    ],
)
def test_dvcs_account_is_put_into_words(changes: list[Any], words: list[str]) -> None:
    """Each change is named by what changed, and how."""
    assert stale_reasons(changes) == words


def test_changed_raw_data_is_taken_in(toy: Path) -> None:
    """data/raw is tracked anew when something in it changed, and left alone when nothing did, or nobody tracks it."""
    raw = toy / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "rows.jsonl").write_text("{}\n", encoding="utf-8")
    assert not track_raw_data(toy)
    run_dvc(toy, "add", "--quiet", "data/raw")
    before = (toy / "data/raw.dvc").read_text(encoding="utf-8")
    assert not track_raw_data(toy)
    (raw / "more.jsonl").write_text("{}\n", encoding="utf-8")
    assert track_raw_data(toy)
    assert (toy / "data/raw.dvc").read_text(encoding="utf-8") != before
    assert "data/raw.dvc" not in stale_stages(toy)


def test_dvcs_own_error_is_the_problem(toy: Path) -> None:
    """A failing command of DVC is told in DVC's words, after its name."""
    with pytest.raises(UserError) as failed:
        run_dvc(toy, "add", "nowhere.txt")
    assert str(failed.value) == (
        f"dvc add: output 'nowhere.txt' does not exist: [Errno 2] No such file or directory: '{toy / 'nowhere.txt'}'"
    )
