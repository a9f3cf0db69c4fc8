"""Laws of what a comment is written from: each thing as it was at a commit and as it is now, or why it is not known."""

import html
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from flows.review.pull_request import (
    current_golden,
    current_release,
    golden_at,
    parse_json_lines,
    release_at,
    review_base,
    review_changes,
)
from pipeline.errors import UserError
from tests.support.repositories import apart, git, make_checkout, params_of_one_file

DVC_YAML = """
stages:
  ingest:
    cmd: python -m pipeline.ingest
    deps: [data/raw]
    params: [ingest]
    outs: [data/ingest/pairs.parquet]
  register:
    cmd: python make.py
    deps: [data/ingest/pairs.parquet, data/raw, make.py]
    outs: [data/register/release.json]
"""
MAKE = '''
"""Write a release whose accuracy is the number of rows, by the hundred."""
import json
from pathlib import Path

rows = len(Path("data/raw/a.jsonl").read_text().splitlines())
metric = {"value": rows / 100, "low": 0.1, "high": 0.9, "n": rows}
release = {
    "verdict": "keep", "reasons": [f"of {rows} rows"], "digests": {"adapter": f"{rows:064}", "test": "0"},
    "metrics": {"arms": {"fine-tuned": {"accuracy": metric}}},
}
Path("data/register").mkdir(parents=True, exist_ok=True)
Path("data/register/release.json").write_text(json.dumps(release))
'''
ROW = {"id": "1", "kind": "long", "messages": [], "completion": "a", "text": "a", "ids": [1], "tokens": ["a"],
       "spans": [[0, 1]]}  # fmt: skip


def write_rows(root: Path, number: int) -> None:
    rows = [json.dumps({"prompt": f"where is parcel {n} of mine", "completion": "ab"[n % 2]}) for n in range(number)]
    (root / "data/raw/a.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_golden(root: Path, *rows: dict[str, Any]) -> None:
    lines = [{"system": "Sort it."}, *rows] if rows else []
    (root / "data/golden_tokens.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A commit before the first run, `bare`; one of a run, `ran`; then a row and a golden pair more, and a run."""
    place = tmp_path_factory.mktemp("review")
    files = {
        "dvc.yaml": DVC_YAML, "make.py": MAKE, "params.yaml": params_of_one_file("a.jsonl"), "data/raw/a.jsonl": "",
        ".gitignore": "/data/ingest/\n/data/register/\n/.tunesmith/\n",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        path = f"{Path(sys.executable).parent}:{apart(place)['PATH']}"
        for name, value in (apart(place) | {"PATH": path}).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", files)
        git(root, "tag", "bare")
        for rows, golden in ((30, ()), (31, (ROW,))):
            write_rows(root, rows)
            write_golden(root, *golden)
            subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=root, check=True)
            if rows == 30:
                git(root, "add", "--all")
                git(root, "commit", "--quiet", "-m", "a run")
                git(root, "tag", "ran")
        patch.chdir(root)
        yield root


def test_release_tokens_and_pairs_stand_then_and_now(project: Path) -> None:
    """Those of then come from git and DVC."""
    done = CliRunner().invoke(app, ["diff", "--markdown", "ran"])
    text, commit = html.unescape(done.stdout), git(project, "rev-parse", "ran")[:12]
    assert f"<code>ran ({commit})</code> → <code>now</code>" in text
    assert "| 0.300 (0.100 to 0.900, n=30) | 0.310 (0.100 to 0.900, n=31) | +0.010 |" in text
    assert "accepted anew, 1 tokens" in text
    assert "30 rows before, 31 after, 30 unchanged." in text
    assert "not known" not in text
    assert (done.exit_code, done.stderr) == (0, "")


def test_a_commit_before_the_first_run_has_no_release_and_that_is_told(project: Path) -> None:
    """As is that its tokens and pairs are not known; what is now stands beside it."""
    whole = git(project, "rev-parse", "bare")
    text, commit = html.unescape(review_changes(project, whole)), whole[:12]
    assert f"\n<code>{commit}</code> → <code>now</code>\n" in text
    assert f"<code>commit {commit}: has no dvc.lock, so it names no release; commit it after a run</code>" in text
    assert f"<code>commit {commit}: has no data/golden_tokens.jsonl</code>" in text
    assert f"<code>{whole}: no pairs are kept there; expected dvc.lock with data/ingest/pairs.parquet; name a" in text
    assert "| not known | 0.310 (0.100 to 0.900, n=31) |" in text


def test_a_release_that_is_not_of_what_is_here_is_not_shown(project: Path) -> None:
    """After a run that failed there is an old one, whose numbers would be taken for those of the change."""
    write_rows(project, 32)
    text = html.unescape(review_changes(project, "ran"))
    with pytest.raises(UserError) as caught:
        current_release(project)
    write_rows(project, 31)
    told = (
        "data/register/release.json: is not made of what is here now; got stale: ingest, register; "
        "`tunesmith run` makes it"
    )
    assert str(caught.value) == told
    assert f"The release of <code>now</code>: **not known.** <code>{told}</code>" in text
    assert "30 rows before, 32 after, 30 unchanged." in text


def test_an_object_that_is_lost_is_told(project: Path) -> None:
    """The release of then is neither in the cache nor in a remote."""
    commit = git(project, "rev-parse", "ran")
    assert release_at(project, commit)["reasons"] == ["of 30 rows"]
    cache = project / ".dvc/cache"
    cache.rename(project / ".dvc/away")
    with pytest.raises(
        UserError, match=rf"^data/register/release\.json of {commit[:12]}: is neither in DVC's cache nor "
    ):
        release_at(project, commit)
    (project / ".dvc/away").rename(cache)


@pytest.mark.parametrize(
    "text",
    ["no json", "[1]", *(f'{{"system": "x"}}\n{row}' for row in (
        '{"id": 1}', "[1]", json.dumps(ROW | {"messages": ["@all"]}), json.dumps(ROW | {"ids": [1, 2]}),
    ))],
)  # fmt: skip
def test_lines_that_are_no_contract_are_told(project: Path, text: str) -> None:
    """Where they stand, and what writes them; no contract at all is none."""
    with pytest.raises(UserError, match=r"^there: is not what `tunesmith accept-tokens` writes"):
        parse_json_lines(text, "there")
    assert golden_at(project, git(project, "rev-parse", "ran")) == []
    assert current_golden(project) == [{"system": "Sort it."}, ROW]


def test_without_a_name_it_is_compared_with_the_last_run(project: Path) -> None:
    """As `tunesmith diff` is."""
    assert review_base(project, None) == (git(project, "rev-parse", "ran"), "HEAD")
    assert review_base(project, "bare") == (git(project, "rev-parse", "bare"), "bare")


def test_what_is_no_commit_is_a_problem(project: Path) -> None:
    """Nothing is written then."""
    with pytest.raises(UserError, match=r"^nowhere: no such commit, branch, tag or run"):
        review_changes(project, "nowhere")
