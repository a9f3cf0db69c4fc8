"""Laws of what a watch has seen: contents count and nothing else, and no state is done twice or lost."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.service.watch_state import (
    WatchState,
    begin_run,
    changed_files,
    end_run,
    file_stamps,
    is_due,
    read_state,
    skip_change,
    source_digests,
    write_state,
)
from pipeline.errors import UserError
from tests.support.repositories import PROJECT

A, B, C = ({"params.yaml": letter} for letter in "abc")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Params that name a folder, and two files in it."""
    values = YAML(typ="safe", pure=True).load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    values["ingest"]["folder"] = "data/raw"
    (tmp_path / "params.yaml").write_text(json.dumps(values), encoding="utf-8")
    (tmp_path / "data/raw/deep").mkdir(parents=True)
    (tmp_path / "data/raw/a.jsonl").write_text("one\n", encoding="utf-8")
    (tmp_path / "data/raw/deep/b.jsonl").write_text("two\n", encoding="utf-8")
    return tmp_path


def runs(state: WatchState, looks: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], WatchState]:
    """Which sources are run if they are seen so, one after the other, each run reading what it was begun for."""
    begun = []
    for now in looks:
        if is_due(state, now):
            begun.append(now)
            state = end_run(begin_run(state, now, "why"), "done")
    return begun, state


def test_what_was_handled_is_never_run_again(tmp_path: Path) -> None:
    """However often it is looked at, and by whichever watch."""
    begun, state = runs(WatchState(), [A, A, A])
    write_state(tmp_path, state)
    assert begun == [A]
    assert runs(read_state(tmp_path), [A, A])[0] == []


def test_what_changes_during_a_run_is_run_once_in_its_last_state() -> None:
    """Whatever was in between: handled is what the run was begun for."""
    state = end_run(begin_run(WatchState(), A, "why"), "done")
    assert state.handled == A
    assert runs(state, [C, C])[0] == [C]


def test_a_change_that_is_taken_back_during_a_run_is_none() -> None:
    """The sources are afterwards what the run was begun for."""
    assert not is_due(end_run(begin_run(WatchState(), A, "why"), "done"), A)


def test_a_run_that_was_cut_off_is_due_in_the_state_of_now(tmp_path: Path) -> None:
    """The next watch reads that it was begun and did not end, and runs once, whatever the sources are by then."""
    write_state(tmp_path, begin_run(WatchState(handled=A), B, "why"))
    left = read_state(tmp_path)
    assert left == WatchState(handled=A, running=B, outcome="a run was begun: why")
    assert [runs(left, [now, now])[0] for now in (A, B, C)] == [[A], [B], [C]]


def test_what_is_put_aside_is_not_looked_at_again_until_it_changes() -> None:
    """Nor is a run still due that was cut off before."""
    state = skip_change(B, "skip: the pairs are the same")
    assert [is_due(state, now) for now in (B, C)] == [False, True]


@pytest.mark.parametrize("text", ["{", '{"unknown": 1}', "[]"])
def test_a_state_that_no_watch_wrote_is_a_problem(tmp_path: Path, text: str) -> None:
    """It is said which file, and what to do; nothing is guessed."""
    write_state(tmp_path, WatchState())
    path = tmp_path / ".tunesmith" / "watch.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_state(tmp_path)
    assert str(caught.value).startswith(f"{path}: not what a watch wrote; got ")
    assert str(caught.value).endswith("; remove it; the next watch looks at everything anew")


def test_a_byte_changes_the_content_and_a_touch_does_not(project: Path) -> None:
    """A touch is noticed, for the file is then read, and found to be the same."""
    path, before, looked = project / "data/raw/deep/b.jsonl", source_digests(project), file_stamps(project)
    os.utime(path)
    assert (source_digests(project), file_stamps(project) == looked) == (before, False)
    path.write_text("too\n", encoding="utf-8")
    assert changed_files(before, source_digests(project)) == "data/raw/deep/b.jsonl changed"


def test_files_that_come_and_go_are_changes(project: Path) -> None:
    """Told by their names, params.yaml too."""
    before = source_digests(project)
    (project / "data/raw/a.jsonl").rename(project / "data/raw/c.jsonl")
    with (project / "params.yaml").open("a", encoding="utf-8") as params:
        params.write("\n")
    told = "data/raw/c.jsonl added, data/raw/a.jsonl removed, params.yaml changed"
    assert changed_files(before, source_digests(project)) == told
    assert (changed_files(None, before), changed_files(before, before)) == ("seen for the first time", "as before")


@pytest.mark.parametrize("name", ["rules/short.py", "data/knowledge/policy.md"])
def test_what_answers_are_judged_by_and_looked_up_in_is_watched(project: Path, name: str) -> None:
    """Nothing of it lies in the folder of the pairs."""
    before = source_digests(project)
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text("anything\n", encoding="utf-8")
    assert changed_files(before, source_digests(project)) == f"{name} added"


def test_params_that_are_wrong_are_watched_until_they_are_mended(project: Path) -> None:
    """No file is known then but params.yaml itself."""
    good, before = (project / "params.yaml").read_bytes(), source_digests(project)
    (project / "params.yaml").write_text("{", encoding="utf-8")
    assert list(source_digests(project)) == ["params.yaml"]
    (project / "params.yaml").write_bytes(good)
    assert source_digests(project) == before
