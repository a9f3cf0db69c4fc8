"""Laws of what a run has to tell: it lies on disk, whole, until it is told."""

from pathlib import Path

from flows.review.data_diff import DiffBase
from flows.tracking.outbox import (
    OUTBOX_FILE,
    RunRecord,
    diff_from_values,
    diff_to_values,
    pending_runs,
    read_record,
    remove_record,
    write_record,
)
from flows.vcs.snapshot import Snapshot
from flows.vcs.states import CommitState

STATE = Snapshot("a" * 40, clean=False, commit="b" * 40)
BASE = DiffBase(CommitState("c" * 40, {"data/ingest/pairs.parquet": "d"}, {"data/raw": "e.dir"}), "the champion")


def test_an_account_is_read_as_it_was_kept(tmp_path: Path) -> None:
    """Of a run that came to its end, and of one that failed before there was anything to keep."""
    whole = RunRecord(
        "r1", "FINISHED", 1.5, {"größe": "1"}, STATE, "f" * 64, diff_to_values(BASE, {"rows": {"before": 3}})
    )
    for account in (whole, RunRecord("r2", "FAILED", 2.0, {"tunesmith.error": "no"})):
        write_record(tmp_path, account)
        assert read_record(tmp_path) == account
    assert diff_from_values(whole.change or {}) == (BASE, {"rows": {"before": 3}})


def test_what_is_untold_is_listed_the_oldest_first_until_it_is_told(tmp_path: Path) -> None:
    """A part of a file that a killed process left is no account."""
    folders = [
        tmp_path / ".tunesmith/runs" / name for name in ("20260102T000000", "20260101T000000", "20260103T000000")
    ]
    for folder in folders:
        folder.mkdir(parents=True)
    for folder in folders[:2]:
        write_record(folder, RunRecord("r", "FINISHED", 0.0))
    (folders[2] / f"{OUTBOX_FILE}.part").write_text("{", encoding="utf-8")
    assert pending_runs(tmp_path) == [folders[1], folders[0]]
    remove_record(folders[1])
    assert pending_runs(tmp_path) == [folders[0]]
