"""Laws of the table at the end of a run; what else is printed, test_cli and test_retrain read."""

from typing import Any

import pytest
from rich.console import Console

from flows.show import shown, table_of

HALF = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}


def lines(metrics: dict[str, Any]) -> list[list[str]]:
    """The cells of the table as printed, without its head."""
    console = Console(width=200)
    with console.capture() as printed:
        console.print(table_of(metrics))
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
    assert shown(measures, gate, whole=True) == wanted


def test_a_line_has_value_interval_and_n() -> None:
    """An arm in full, and of a rival the gate's measure alone: ten of them are ten lines."""
    full = {"accuracy": HALF, "macro_f1": HALF}
    rivals = {f"rival {number}": full for number in range(10)}
    found = lines({"metric": "accuracy", "arms": {"base": full, "fine-tuned": full, **rivals}})
    cells = ["0.500", "0.250", "to", "0.750", "8"]
    assert found[:4] == [
        [arm, measure, *cells] for arm in ("base", "fine-tuned") for measure in ("accuracy", "macro_f1")
    ]
    assert found[4:] == [["rival", str(number), "accuracy", *cells] for number in range(10)]


def test_a_rival_that_lacks_the_gates_measure_has_no_line() -> None:
    """It is not made up."""
    assert lines({"metric": "accuracy", "arms": {"base": {"accuracy": HALF}, "other": {"macro_f1": HALF}}}) == [
        ["base", "accuracy", "0.500", "0.250", "to", "0.750", "8"]
    ]
