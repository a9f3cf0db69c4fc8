"""Laws of the table at the end of a run; what else is printed, test_cli and test_retrain read."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.cli.console import arms_table, next_steps, print_results, shown_metrics
from flows.cli.console import console as printed_on
from pipeline.files import write_json

HALF = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}


def lines(metrics: dict[str, Any]) -> list[list[str]]:
    """The cells of the table as printed, without its head."""
    console = Console(width=200)
    with console.capture() as printed:
        console.print(arms_table(metrics))
    return [line.split() for line in printed.get().splitlines()[1:]]


@pytest.mark.parametrize(
    ("measures", "gate", "wanted"),
    [
        (["accuracy", "accuracy clean", "macro_f1", "macro_f1 clean"], "accuracy",
         ["accuracy", "accuracy clean", "macro_f1"]),
        (["chrf", "rouge_l", "rule:short", "rules", "rules clean"], "rules",
         ["rules", "rules clean", "chrf", "rouge_l"]),
    ],
)  # fmt: skip
def test_the_gate_comes_first_and_house_rules_stay_together(measures: list[str], gate: str, wanted: list[str]) -> None:
    """The gate's measure, also of the clean rows; then each other once; of the rules only the worst."""
    assert shown_metrics(measures, gate, whole=True) == wanted


def test_a_line_has_value_interval_and_n() -> None:
    """An arm in full, and of a baseline the gate's measure alone: ten of them are ten lines."""
    full = {"accuracy": HALF, "macro_f1": HALF}
    baselines = {f"baseline {number}": full for number in range(10)}
    found = lines({"metric": "accuracy", "arms": {"zero_shot": full, "fine-tuned": full, **baselines}})
    cells = ["0.500", "0.250", "to", "0.750", "8"]
    assert found[:4] == [
        [arm, measure, *cells] for arm in ("zero_shot", "fine-tuned") for measure in ("accuracy", "macro_f1")
    ]
    assert found[4:] == [["baseline", str(number), "accuracy", *cells] for number in range(10)]


def test_a_baseline_that_lacks_the_gates_measure_has_no_line() -> None:
    """It is not made up."""
    assert lines({"metric": "accuracy", "arms": {"zero_shot": {"accuracy": HALF}, "other": {"macro_f1": HALF}}}) == [
        ["zero_shot", "accuracy", "0.500", "0.250", "to", "0.750", "8"]
    ]


def test_a_label_in_a_reason_is_no_markup(tmp_path: Path) -> None:
    """Brackets are printed as they are, whatever the terminal would make of them."""
    reason = "'[/refund]' became worse than the champion's, '[red]' too"
    release = {
        "metrics": {"arms": {}},
        "verdict": "keep",
        "reasons": [reason],
        "worth": {"text": "[bold]", "table": []},
    }
    (tmp_path / "data/register").mkdir(parents=True)
    write_json(tmp_path / "data/register/release.json", release)
    write_json(tmp_path / "data/register/cost.json", {"text": "dear"})
    with printed_on.capture() as printed:
        print_results(tmp_path)
    assert reason in printed.get()
    assert "worth it?  [bold] dear\n" in printed.get()


def test_the_version_that_was_made_is_the_one_to_promote(tmp_path: Path) -> None:
    """Not the first of all."""
    with printed_on.capture() as printed:
        next_steps(tmp_path, "7", champion=False)
    assert "tunesmith promote 7 -m TEXT" in printed.get()
