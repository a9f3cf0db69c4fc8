import shutil
from pathlib import Path

import pytest

from flows.review.data_findings import findings_lines, latest_findings, stopped_findings
from pipeline.errors import UserError
from pipeline.pairs import Quarantined, write_pairs, write_quarantine
from pipeline.validate import stage as validate
from tests.support.checked_pairs import LABELS, LIMITS, LONG, changed, pair, questions

PAIRS = [
    *questions(40, split="train"),
    pair("question 3 \x07", "no", split="train", row=50),
    pair(LONG, split="train", row=51),
    pair(f"{LONG}!", split="test", row=1),
    pair("question 300", split="test", row=2),
    pair("Question 7", "yes", split="train", row=52),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose ingest has run."""
    folder = tmp_path / "data" / "ingest"
    folder.mkdir(parents=True)
    write_pairs(folder / "pairs.parquet", PAIRS)
    unread = [Quarantined("train.jsonl", 90 + n, "not_json", "Expecting value", b"{bad") for n in range(5)]
    write_quarantine(folder / "quarantine.parquet", unread)
    return tmp_path


def test_before_a_run_there_is_nothing_to_show(root: Path) -> None:
    """The user is told how to look."""
    with pytest.raises(UserError) as caught:
        list(findings_lines(root))
    assert str(caught.value) == (
        "the data: have not been looked at yet; `tunesmith run --until validate` looks at them"
    )


def test_all_rows_are_accounted_for_and_each_fault_has_its_rows_and_its_remedy(root: Path) -> None:
    """Counts first, then what could not be read, what is set aside and what is only reported."""
    validate.run(LABELS, changed(max_quarantined_share=0.5), root / "data")
    told = list(findings_lines(root))
    assert told[:3] == [
        "50 rows read = 43 kept + 2 set aside + 5 unreadable",
        "kept: 41 train, 0 validation, 2 test",
        "test: 1 rows equal and 1 nearly equal a row outside it; 2 of 2 have nothing like them in training",
    ]
    at = told.index("not_json: 5 rows, not read: Expecting value")
    assert told[at + 1 : at + 5] == [*(f"  train.jsonl row {row}: {{bad" for row in (90, 91, 92)), "  and 2 more"]
    at = told.index("control_characters: 1 rows, set aside; expected: no control or replacement characters")
    assert told[at + 1 : at + 3] == [
        "  train.jsonl row 50: question 3 \x07", "  export the text again as UTF-8, without terminal codes",
    ]  # fmt: skip
    at = told.index("conflict: 2 rows, kept; expected: one prompt has one completion")
    assert told[at + 1 : at + 3] == ["  train.jsonl row 7, train.jsonl row 52", "  decide which completion is right"]
    assert told[-1] == "more: data/validate/report.html"


def test_what_was_refused_is_shown_until_it_is_mended(root: Path) -> None:
    """After a run that stopped at the data, what it found; once data went through, or came back, that."""
    with pytest.raises(UserError):
        validate.run(LABELS, LIMITS, root / "data")
    assert stopped_findings(root) == latest_findings(root) == root / "data/validate/refused"
    first, second, *_ = findings_lines(root)
    assert first.startswith(
        "the run stopped: validate.max_quarantined_share: 6 of 50 rows are bad: 5 not_json, 1 control_"
    )
    assert second == "50 rows read = 43 kept + 2 set aside + 5 unreadable"
    assert [*findings_lines(root)][-1] == "more: data/validate/refused/report.html"
    shutil.copy(root / "data/validate/refused/report.json", root / "data/validate/report.json")
    assert stopped_findings(root) is None
    assert latest_findings(root) == root / "data/validate"
