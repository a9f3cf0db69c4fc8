"""Laws of a bisect: the commit that is found, how few evaluations that takes, and what is said of it."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.bisect.inputs import CommitInputs
from flows.bisect.search import search_steps
from flows.bisect.steps import CommitStep, matching_runs, steps_between
from flows.vcs.snapshot import write_snapshot
from pipeline.errors import UserError
from tests.support.regressing_project import (
    FILES,
    MODEL,
    RAW,
    asked,
    branch,
    commit,
    culprit,
    evaluated,
    made,
    make_worsened,
    rows_of,
)
from tests.support.repositories import apart, git, make_checkout


class Looked:
    """Steps that are good up to one, and what was looked at of them."""

    def __init__(self, first_bad: int, dumb: Sequence[int] = ()) -> None:
        self.first_bad, self.dumb, self.at = first_bad, dumb, list[int]()

    def __call__(self, step: int) -> bool | None:
        """Look at one."""
        self.at.append(step)
        return None if step in self.dumb else step >= self.first_bad


@pytest.mark.parametrize("size", range(2, 41))
def test_every_step_is_found_by_halving(size: int) -> None:
    """In no more looks than the logarithm, none of them at an end or a second time."""
    for first_bad in range(1, size):
        looked = Looked(first_bad)
        assert search_steps(size, looked) == (first_bad - 1, first_bad)
        assert len(looked.at) <= math.ceil(math.log2(size - 1))
        assert len(set(looked.at)) == len(looked.at)
        assert {0, size - 1}.isdisjoint(looked.at)


@pytest.mark.parametrize("size", [2, 3, 7, 12, 13])
def test_steps_of_which_nothing_can_be_said_make_a_range(size: int) -> None:
    """The range is as narrow as the others allow, whichever they are, and each costs one look at most."""
    for dumb in ([step for step in range(1, size - 1) if bits >> step & 1] for bits in range(0, 2**size, 6)):
        for first_bad in range(1, size):
            looked = Looked(first_bad, dumb)
            good, bad = search_steps(size, looked)
            told = [step for step in range(size) if step not in dumb]
            assert good == max(step for step in told if step < first_bad)
            assert bad == min(step for step in told if step >= first_bad)
            assert len(looked.at) <= math.ceil(math.log2(size - 1)) + len(dumb)


def test_what_costs_nothing_is_looked_at_first() -> None:
    """The others are looked at only between two of those."""
    looked = Looked(9)
    assert search_steps(40, looked, cheap={8, 20, 30}) == (8, 9)
    costly = [step for step in looked.at if step not in {8, 20, 30}]
    assert all(8 < step < 20 for step in costly)
    assert len(costly) <= math.ceil(math.log2(12))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Commits of which nothing was ever run: the first, a page, code, a param, a param that no stage reads, rows."""
    place = tmp_path_factory.mktemp("line")
    params = FILES["params.yaml"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart(place).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", FILES | {RAW: rows_of(0)}, dvc=False)
        commit(root, "a page", {"README.md": "read this\n"})
        commit(root, "code", {"model.py": f"{MODEL}# done\n"})
        commit(root, "a param", {"params.yaml": (params := params.replace('"epochs": ', '"epochs": 1'))})
        commit(root, "a rule", {"params.yaml": params.replace('"retrain": {', '"retrain": { ')})
        commit(root, "rows", {RAW: rows_of(3)})
        git(root, "checkout", "--quiet", "-b", "side", "HEAD~2")
        commit(root, "aside", {RAW: rows_of(4)})
        git(root, "checkout", "--quiet", "main")
        yield root


def test_commits_that_change_nothing_for_the_model_are_no_steps(line: Path) -> None:
    """Pages, and params of sections that no stage up to evaluate reads, belong to the step before."""
    steps, commits = steps_between(line, "main~5", "main")
    subjects = [[git(line, "log", "-1", "--format=%s", state.commit) for state in step.states] for step in steps]
    assert subjects == [["first", "a page"], ["code"], ["a param", "a rule"], ["rows"]]
    assert commits == 5


@pytest.mark.parametrize(
    ("good", "bad", "error"),
    [
        ("main", "main~2", r"main: does not come before main~2 on its line of first parents; expected an earlier "),
        ("side", "main", r"side: does not come before main on its line of first parents; .* is [0-9a-f]{12}; name "),
        ("main", "main", r"main: does not come before main on its line of first parents; "),
        ("main~5", "main~4", r"main~5\.\.main~4: no commit between them changed what a model depends on; .*; got 1 "),
        ("nowhere", "main", r"nowhere: no such commit, branch, tag or run; "),
    ],
)  # fmt: skip
def test_a_question_without_an_answer_is_a_problem(line: Path, good: str, bad: str, error: str) -> None:
    """Before anything is evaluated."""
    with pytest.raises(UserError, match=f"^{error}"):
        asked(line, bad, good)


def test_a_run_stands_in_for_a_commit_if_it_knew_all_that_was_tested_there(line: Path) -> None:
    """It may know more, the less the better; every other file is the same."""
    files = {"data/raw/a.jsonl": "1", "data/scored_prompts/a.parquet": "2"}
    more = {"data/scored_prompts/b.parquet": "3"}
    known = {
        "more": files | more, "same": files, "less": {"data/raw/a.jsonl": "1"},
        "others": {"data/raw/a.jsonl": "1"} | more, "other rows": files | {"data/raw/a.jsonl": "4"},
    }  # fmt: skip
    head = git(line, "rev-parse", "HEAD")
    runs = {name: CommitInputs(head, read, {}, {}, None) for name, read in known.items()}
    found = list(matching_runs(line, CommitStep((CommitInputs(head, files, {}, {}, None),)), runs.values()))
    assert found == [runs["same"], runs["more"]]
    assert not list(
        matching_runs(line, CommitStep((CommitInputs(head, files, {"evaluate.seed": 1}, {}, None),)), runs.values())
    )


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project whose model is made in no time, and an environment that knows nothing else."""
    place = tmp_path_factory.mktemp("bisect")
    with pytest.MonkeyPatch.context() as patch:
        path = f"{Path(sys.executable).parent}:{apart(place)['PATH']}"
        for name, value in (apart(place) | {"PATH": path}).items():
            patch.setenv(name, value)
        yield make_worsened(place / "project")


@pytest.fixture
def project(made_once: Path) -> Path:
    """That project, without memory of what was measured; what DVC's cache has of it stays."""
    (made_once / ".tunesmith/measured.json").unlink(missing_ok=True)
    return made_once


@pytest.mark.slow
@pytest.mark.parametrize("first_bad", [1, 6, 11])
def test_of_twelve_commits_the_bad_one_is_found_in_five_evaluations(project: Path, first_bad: int) -> None:
    """Its rows are named; files, branch and worktrees are afterwards what they were; asked again, none is made."""
    branch(project, "twelve")
    commits = [commit(project, f"rows {n}", {RAW: rows_of(n, wrong=n >= first_bad)}) for n in range(1, 12)]
    before = [git(project, *words) for words in (["status", "--porcelain", "--branch"], ["worktree", "list"])]
    said = asked(project, "twelve")
    assert culprit(said) == commits[first_bad - 1]
    assert made(said) <= 5
    assert f"  {commits[first_bad - 1][:7]}  a tester <tester@localhost>, " in "\n".join(said)
    assert (
        "  f1[refund] 1.0000 (0.5655 to 1.0000, n=5) before, 0.0000 (0.0000 to 0.4345, n=5) there; "
        "bad is below 0.5000" in said
    )
    assert (
        "  4 relabelled: the same prompt, another completion (4 in training or validation, 0 in the test set)" in said
    )
    assert "    a.jsonl row 2: 'money matters 1' | 'refund' -> 'other'" in said
    assert not any("test rows are not the same" in words for words in said)
    assert [git(project, *words) for words in (["status", "--porcelain", "--branch"], ["worktree", "list"])] == before
    again = asked(project, "twelve")
    assert (made(again), culprit(again)) == (0, culprit(said))


@pytest.mark.slow
def test_a_commit_that_cannot_be_evaluated_is_passed_over(project: Path) -> None:
    """With its reason; where the answer hangs on it, the answer is a range."""
    branch(project, "failing")
    rows = [rows_of(1), rows_of(2, empty=True), rows_of(3, wrong=True), rows_of(4, wrong=True)]
    commits = [commit(project, f"rows {n}", {RAW: text}) for n, text in enumerate(rows)]
    said = asked(project, "failing")
    assert f"  {commits[1][:12]}  {'rows 1':<40}  cannot be evaluated  ingest: a.jsonl: a completion is empty" in said
    at = said.index("the first bad commit is one of 2, since all but the last cannot be evaluated:")
    assert [words.split()[0] for words in said[at + 1 : at + 5 : 2]] == [one[:7] for one in commits[1:3]]
    commits.append(commit(project, "rows", {RAW: rows_of(5, wrong=True, empty=True)}))
    with pytest.raises(UserError, match=rf"^{commits[-1][:12]}: cannot be evaluated: ingest: a\.jsonl: a completion "):
        asked(project, "failing")
    commits.append(commit(project, "rows", {RAW: rows_of(6, wrong=True)}))
    commits.append(commit(project, "rows", {RAW: rows_of(7)}))
    commits.append(commit(project, "rows", {RAW: rows_of(8, wrong=True)}))
    assert culprit(asked(project, "failing", commits[-2])) == commits[-1]


@pytest.mark.slow
def test_params_and_code_that_changed_are_named(project: Path) -> None:
    """Each value, what it was and is; each file."""
    branch(project, "params")
    params = FILES["params.yaml"].replace('"learning_rate": 0.0', '"learning_rate": 0.7')
    commit(project, "a page", {"README.md": "read this\n"})
    found = commit(project, "faster", {"params.yaml": params})
    said = asked(project, "params")
    assert culprit(said) == found
    assert said[0] == "commits that change what the model depends on: 1 of 2; evaluations: at most 1"
    (told,) = [words for words in said if words.startswith("  params ")]
    assert told.startswith("  params    finetune.learning_rate: 0.0")
    assert " -> 0.7" in told
    assert not any(words.startswith(("  rows ", "  data ", "  code ")) for words in said)
    branch(project, "code")
    found = commit(project, "code", {"model.py": MODEL.replace("if learns", "if not learns")})
    said = asked(project, "code")
    assert (culprit(said), "  code      model.py changed" in said) == (found, True)


@pytest.mark.slow
def test_what_lock_files_and_runs_record_is_read(project: Path) -> None:
    """Whatever champion was met: by a commit's own dvc.lock, or by that of a run of the same files."""
    branch(project, "recorded")
    (project / "data/champion/champion.json").write_text("{}", encoding="utf-8")
    try:
        for n in range(1, 4):
            (project / RAW).write_text(rows_of(n, wrong=n == 3), encoding="utf-8")
            evaluated(project)
            if n == 2:
                git(project, "update-ref", "refs/tunesmith/runs/r2", write_snapshot(project, "r2").commit)
                git(project, "checkout", "--quiet", "--", "dvc.lock")
            last = commit(project, f"rows {n}", {})
        said = asked(project, "recorded")
    finally:
        (project / "data/champion/champion.json").unlink()
    assert culprit(said) == last
    assert said[-1] == "evaluations: 0; read: 4 (4 recorded)"


@pytest.mark.slow
def test_with_a_limit_only_the_ends_that_the_answer_needs_are_evaluated(project: Path) -> None:
    """What is given as bad and lies apart from the answer is taken for bad; beside it, it has to be."""
    branch(project, "limit")
    commits = [commit(project, f"rows {n}", {RAW: rows_of(20 + n, wrong=n >= 2)}) for n in range(1, 8)]
    said = asked(project, "limit", limit=0.9)
    assert culprit(said) == commits[1]
    assert not any(words.startswith(f"  {commits[-1][:12]}") for words in said)
    with pytest.raises(UserError) as caught:
        asked(project, commits[0], limit=0.9)
    assert str(caught.value) == (
        f"{commits[0][:12]}: is not bad; expected f1[refund] below the limit of 0.9; got 1.0000; name another limit, "
        "or another commit that is bad"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asking", "error"),
    [
        ({"metric": "f2"}, r"f2: no such metric; expected one of accuracy, or f1\[LABEL\], "),
        ({"metric": "f1[refnd]", "limit": 0.5},
         r"f1\[refnd\]: no test row has this label or was answered with it; expected one of account, delivery, "),
        ({"metric": "accuracy"},
         r"accuracy: good is not better than bad; expected .*; got 1\.0000 at good, 1\.0000 at bad; "),
        ({"limit": 1.5}, r"[0-9a-f]{12}: is not good; expected f1\[refund\] not below the limit of 1\.5; got 1\.0000"),
    ],
)  # fmt: skip
def test_numbers_that_make_no_question_are_a_problem(project: Path, asking: dict[str, Any], error: str) -> None:
    """A wrong name ends it at once, not as a commit that cannot be evaluated."""
    branch(project, "same")
    commit(project, "rows", {RAW: rows_of(1)})
    commit(project, "rows", {RAW: rows_of(2)})
    with pytest.raises(UserError, match=f"^{error}"):
        asked(project, "same", **asking)


@pytest.mark.slow
def test_a_bisect_that_is_killed_goes_on_where_it_was(project: Path) -> None:
    """No value is made twice, and the worktree that it left is in nobody's way."""
    branch(project, "killed")
    commits = [commit(project, f"rows {n}", {RAW: rows_of(40 + n, wrong=n >= 3)}) for n in range(1, 8)]
    words = [sys.executable, "-u", "-m", "flows.cli", "bisect", "--good", "main", "--bad", "killed"]
    with subprocess.Popen(
        [*words, "--metric", "f1[refund]"], cwd=project, stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        while not (project / ".tunesmith/bisect").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert [words.split()[-1] for words in said[1:]] == ["recorded", "ran"]
    again = asked(project, "killed")
    assert culprit(again) == commits[2]
    assert [words.split()[-1] for words in again[1:3]] == ["remembered", "remembered"]
    assert "bisect" not in git(project, "worktree", "list").replace(str(project), "")
    assert not (project / ".tunesmith/bisect").exists()
