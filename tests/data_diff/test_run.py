"""Laws of a difference: what is counted and shown of two files of pairs, and against which state of the past."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.champion.store import champion_folder, write_champion
from flows.review.data_diff import KIND_WORDS, compare_pairs, data_diff_lines, find_diff_base
from flows.vcs.snapshot import write_snapshot
from pipeline.data_diff.run import EXAMPLE_CHARS, EXAMPLES_PER_KIND, diff_pairs
from pipeline.errors import UserError
from pipeline.pairs import Message, Pair, write_pairs
from pipeline.params import Params
from pipeline.validate.drift import measure_drifts, training_profile
from tests.support.checked_pairs import Found
from tests.support.repositories import apart, git, make_checkout, params_of_one_file

Compared = Callable[..., dict[str, Any]]
TEXTS = [f"where is parcel {n} that I ordered {'long ago ' * (n % 3)}please" for n in range(60)]
DVC_YAML = """
stages:
  ingest:
    cmd: python -m pipeline.ingest
    deps: [data/raw]
    params: [ingest]
    outs: [data/ingest/pairs.parquet]
  finetune:
    cmd: cp -r data/raw data/finetune/adapter
    deps: [data/ingest/pairs.parquet]
    outs: [data/finetune/adapter]
"""


def pair(prompt: str, completion: str, row: int, split: str | None = "train") -> Pair:
    return Pair((Message("user", prompt),), completion, "a.jsonl", row, split, b"{}")


def pairs_of(texts: Sequence[str], answers: str = "ab", split: str | None = "train") -> list[Pair]:
    return [pair(text, answers[n % len(answers)], n, split) for n, text in enumerate(texts)]


@pytest.fixture
def compared(tmp_path: Path, make_params: Callable[..., Params]) -> Compared:
    """Give a function that compares two lists of pairs by the params of the project, or others."""

    def run(old: Sequence[Pair], new: Sequence[Pair], **replaced: Any) -> dict[str, Any]:
        for name, pairs in (("old", old), ("new", new)):
            write_pairs(tmp_path / f"{name}.parquet", pairs)
        return diff_pairs(tmp_path / "old.parquet", tmp_path / "new.parquet", make_params(**replaced))

    return run


def test_equal_pairs_differ_in_nothing(compared: Compared) -> None:
    """Whatever their order: no kind has a row, nothing drifts, nothing is to be done."""
    found = compared(pairs_of(TEXTS), pairs_of(TEXTS)[::-1])
    assert found["rows"] == {"before": 60, "after": 60, "unchanged": 60}
    assert not any([*found["change"]["learnt"].values(), *found["change"]["tested"].values()])
    assert found["change"]["drift"] == {"labels": 0, "prompt lengths": 0}
    assert (found["decision"]["outcome"], found["examples"]) == ("skip", [])


def test_what_training_sees_is_counted_apart_from_the_test_set(compared: Compared) -> None:
    """By the law of the split, or by what the source says."""
    test = [pair(f"held out {n}", "a", n, "test") for n in range(10)]
    found = compared([*pairs_of(TEXTS), *test], [*pairs_of([*TEXTS, "one more"]), *test[:8]])["change"]
    assert {kind: rows for kind, rows in found["learnt"].items() if rows} == {"added": 1}
    assert {kind: rows for kind, rows in found["tested"].items() if rows} == {"removed": 2}


def test_a_row_that_changes_sides_is_told(compared: Compared) -> None:
    """The same row, once trained on and now held out, is not unchanged."""
    moved = pairs_of(TEXTS[:5], split="test") + pairs_of(TEXTS)[5:]
    found = compared(pairs_of(TEXTS), moved)
    assert (found["rows"]["unchanged"], found["change"]["learnt"]["moved"]) == (55, 5)


def test_new_and_vanished_labels_are_told_with_their_rows(compared: Compared) -> None:
    """Only where completions are labels."""
    old, new = pairs_of(TEXTS, "aab"), pairs_of(TEXTS, "aac")
    found = compared(old, new)["change"]
    assert (found["new_labels"], found["vanished_labels"]) == ({"c": 20}, {"b": 20})
    free = compared(old, new, **{"prompt.task": "text", "register.metric": "chrf"})["change"]
    assert (free["new_labels"], free["vanished_labels"], list(free["drift"])) == ({}, {}, ["prompt lengths"])


def test_examples_show_the_first_rows_before_and_after(compared: Compared) -> None:
    """So many of each kind, each text cut; a side where the row is not is empty."""
    new = [*pairs_of(TEXTS, "b")[:40], *pairs_of(TEXTS)[40:], pair("x" * 999, "a", 7)]
    found = compared([*pairs_of(TEXTS), pair("gone", "a", 99)], new)["examples"]
    assert Counter(one["kind"] for one in found) == {"relabelled": EXAMPLES_PER_KIND, "removed": 1, "added": 1}
    first, (removed, added) = found[0], found[-2:]
    assert first == {
        "kind": "relabelled", "source": "a.jsonl", "row": 0, "prompt_before": TEXTS[0], "prompt_after": TEXTS[0],
        "completion_before": "a", "completion_after": "b",
    }  # fmt: skip
    assert (removed["prompt_before"], removed["prompt_after"], removed["row"]) == ("gone", None, 99)
    assert (added["prompt_before"], added["prompt_after"]) == (None, "x" * EXAMPLE_CHARS)


def test_drift_is_what_validate_calls_drift_of_the_same_rows(compared: Compared) -> None:
    """The same numbers of the same change, so that both limits of that name are limits of one thing."""
    longer = [f"{text} and so on, at length" * 3 for text in TEXTS]
    old, new = pairs_of(TEXTS, "ab", split="train"), pairs_of(longer, "aaab", split="train")
    profiles = [training_profile(Found(pairs).judged, Counter(), labels=True) for pairs in (old, new)]
    drifts = {item.what: round(item.drift, 4) for item in measure_drifts(*profiles, Counter())}
    found = compared(old, new)["change"]["drift"]
    assert found == {what: drifts[what] for what in ("labels", "prompt lengths")}
    assert found["prompt lengths"] == 1


def write_rows(root: Path, texts: Sequence[str]) -> None:
    rows = [json.dumps({"prompt": text, "completion": "ab"[n % 2]}) for n, text in enumerate(texts)]
    (root / "data/raw/a.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def reproduced(root: Path, run: str) -> str:
    """Bring the stages up to date and keep the state, as a run does."""
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=root, check=True)
    return write_snapshot(root, run).commit


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with two runs of the past; in the second one row is new."""
    place = tmp_path_factory.mktemp("difference")
    files = {
        "dvc.yaml": DVC_YAML, "params.yaml": params_of_one_file("a.jsonl"), "data/raw/a.jsonl": "",
        ".gitignore": "/data/ingest/\n/data/finetune/\n/.tunesmith/\n",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        path = f"{Path(sys.executable).parent}:{apart(place)['PATH']}"
        for name, value in (apart(place) | {"PATH": path}).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", files)
        (root / "data/finetune").mkdir()
        for run, texts in (("r1", TEXTS), ("r2", [*TEXTS, "what is new"])):
            write_rows(root, texts)
            reproduced(root, run)
        yield root


@pytest.fixture
def edited(project: Path) -> Iterator[Path]:
    """That project, one row of its source edited since."""
    before = (project / "data/raw/a.jsonl").read_bytes()
    write_rows(project, [f"{TEXTS[0]} now", *TEXTS[1:], "what is new"])
    yield project
    (project / "data/raw/a.jsonl").write_bytes(before)
    shutil.rmtree(project / ".tunesmith", ignore_errors=True)


def all_files(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file() and not {".git", "tmp"} & set(path.parts)]
    return {str(path): path.read_bytes() for path in paths}


def test_the_pairs_of_now_are_compared_with_the_last_run_and_nothing_is_left(edited: Path) -> None:
    """Ingest is stale, yet stays so; every file is afterwards what it was."""
    before = all_files(edited)
    against, found = compare_pairs(edited)
    assert against.label == "the last run"
    assert {kind: rows for kind, rows in found["change"]["learnt"].items() if rows} == {"edited": 1}
    assert all_files(edited) == before


def test_a_revision_is_what_git_knows_or_a_run(edited: Path) -> None:
    """The name of a run, its commit, or the beginning of that."""
    commit = git(edited, "rev-parse", "refs/tunesmith/runs/r1")
    for revision in ("r1", commit, commit[:8]):
        against = find_diff_base(edited, "a name", revision)
        assert against is not None
        assert (against.label, against.state.commit) == (revision, commit)


def test_what_the_champion_was_made_from_comes_before_the_last_run(edited: Path) -> None:
    """It is found by the bytes of its adapter, in whichever state they were made."""
    root, name = edited, "quillmoor-triage"
    adapter = root.parent / "adapter"
    adapter.mkdir()
    write = git(root, "show", "refs/tunesmith/runs/r1:data/raw/a.jsonl")
    (adapter / "a.jsonl").write_text(f"{write}\n", encoding="utf-8")
    write_champion(champion_folder(root, name), adapter, {"name": name, "digests": {"adapter": "0" * 64}})
    found = find_diff_base(root, name)
    assert found is not None
    assert (found.label, found.state.commit) == ("the champion", git(root, "rev-parse", "refs/tunesmith/runs/r1"))


@pytest.mark.parametrize(
    ("revision", "error"),
    [
        ("nowhere",
         "nowhere: no such commit, branch, tag or run; `git log` and `git for-each-ref refs/tunesmith` list them"),
        ("HEAD", "HEAD: no pairs are kept there; expected dvc.lock with data/ingest/pairs.parquet; name a run"),
    ],
)  # fmt: skip
def test_a_revision_without_pairs_is_a_problem(project: Path, revision: str, error: str) -> None:
    """It is said what was looked for, and where others are."""
    with pytest.raises(UserError) as caught:
        compare_pairs(project, revision)
    assert str(caught.value) == error


def test_sources_that_cannot_be_read_are_told_in_the_words_of_ingest(edited: Path) -> None:
    """As a run would tell it."""
    (edited / "data/raw/a.jsonl").write_text("no json\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"^ingest: data/raw/a\.jsonl: not one row is a pair; got 1 not_json; first: "):
        compare_pairs(edited)


def test_a_difference_is_told_in_words(edited: Path) -> None:
    """What it is against, the counts, the rows, and the decision with its reasons."""
    told = list(data_diff_lines(*compare_pairs(edited, "r1")))
    assert told[1:] == [
        "rows      60 then, 61 now, 59 unchanged",
        "1 added (1 in training or validation, 0 in the test set)",
        "  a.jsonl row 61: 'what is new' | 'a'",
        f"1 {KIND_WORDS['edited']} (1 in training or validation, 0 in the test set)",
        f"  a.jsonl row 1: {TEXTS[0]!r} -> {TEXTS[0] + ' now'!r} | 'a'",
        "drift     labels 0.000, prompt lengths 0.000 (0: no more than chance, 1: nothing in common)",
        "decision  evaluate: the champion is to be tested again, there is little to learn",
        "          only 1 added, 1 edited of the rows that training sees; fewer than 20",
    ]
