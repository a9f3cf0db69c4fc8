"""`tunesmith learning-curve`: models of shares of the training rows, and what more rows would bring."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from flows import paths
from flows.cli import console
from flows.cli.console import plain_errors
from flows.vcs import dvc, output_filter, subprocesses
from flows.vcs.lock import checkout_lock
from flows.vcs.recovery import recover_files
from pipeline.artifacts import LEARNING_CURVE
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.params import load_params

CURVE_PATH = Path("data", LEARNING_CURVE)
CURVE_WORK_FOLDER = "learning_curve"
"""In the private folder: what was trained, to go on from."""
MAY_BE_STALE = ("register",)
"""Stages that need not be fresh."""
LABELS_SHOWN = 5
"""Labels that are shown."""

learning_curve_app = typer.Typer(rich_markup_mode="rich")


@learning_curve_app.command(rich_help_panel="Data")
@plain_errors
def learning_curve(
    shares: Annotated[
        str, typer.Option(metavar="PERCENT,...", help="Shares of the training rows to train on, besides all of them.")
    ] = "10,25,50",
) -> None:
    """Train on shares of the training rows too, and say what twice the rows would bring, and which labels want them.

    All shares have the params of this checkout and the same test rows. What was trained before is not trained again.

    [dim]Examples:[/]

        tunesmith learning-curve                 10, 25, 50 and 100 % of the rows; about as long as one training

        tunesmith learning-curve --shares 5,10,25,50
    """
    root, wanted = paths.project_root(), parse_shares(shares)
    with checkout_lock(root, "tunesmith learning-curve"):
        recover_files(root)
        require_fresh(root)
        train_subsets(root, wanted, output_filter.OutputFilter(output_filter.print_output, lambda _line: None))
    curve = read_json(root / CURVE_PATH)
    console.console.print(curve_table(curve))
    for line in curve_lines(curve):
        console.console.print(line, markup=False)


def parse_shares(text: str) -> list[float]:
    """Read shares in percent: rising, each once.

    Raises:
        UserError: If one is no number between 0 and 100.
    """
    shares = set()
    for word in text.split(","):
        try:
            percent = float(word)
        except ValueError:
            percent = 0.0
        if not 0 < percent < 100:
            why = "is no share of the rows"
            raise UserError("--shares", why, expected="numbers between 0 and 100, as in 10,25,50", got=repr(word))
        shares.add(percent / 100)
    return sorted(shares)


def require_fresh(root: Path) -> None:
    """Refuse to measure beside a model that is not of these files.

    Raises:
        UserError: If a stage up to evaluate is stale, or never ran.
    """
    load_params(root / "params.yaml")
    stale = [stage for stage in dvc.stale_stages(root) if stage in dvc.stage_names(root) and stage not in MAY_BE_STALE]
    if stale or not (root / "data/evaluate/metrics.json").exists():
        got = f"stale: {', '.join(stale)}" if stale else "no evaluation here"
        raise UserError(
            "tunesmith learning-curve", "the model of all rows is to be there first", got=got, do="`tunesmith run`"
        )


def train_subsets(root: Path, shares: list[float], say: Callable[[bytes], None]) -> None:
    """Let the shares be trained and measured, in a process as the stages have.

    Raises:
        UserError: If it fails, with its own line.
    """
    home = paths.state_dir(root) / CURVE_WORK_FOLDER
    more = {
        "TUNESMITH_CHECKPOINTS": str(home / "checkpoints"),
        "TORCHINDUCTOR_CACHE_DIR": str(paths.state_dir(root) / "compiled"),
        **({"TUNESMITH_TERMINAL": "1"} if sys.stderr.isatty() else {}),
    }
    command = [sys.executable, "-m", "pipeline.learning_curve", str(home / "models"), *map(str, shares)]
    code, output = subprocesses.run_streaming(command, root, subprocesses.child_environment(**more), say)
    if code:
        raise UserError("tunesmith learning-curve", dvc.failure_reason([], output, code).removeprefix("error: "))


def curve_table(curve: dict[str, Any]) -> Table:
    """Make the table of the shares, and of what twice the rows would have."""
    table = console.plain_table("training rows>", f"{curve['metric']}>", "95 % interval")
    for one in [*curve["shares"], *([curve["twice"]] if curve["twice"] else [])]:
        rows = f"{one['rows']:,}" if "share" in one else f"expected of {one['rows']:,}"
        table.add_row(rows, f"{one['value']:.3f}", f"{one['low']:.3f} to {one['high']:.3f}")
    return table


def curve_lines(curve: dict[str, Any]) -> Iterator[str]:
    """Say what the curve says, and where it stands."""
    yield curve["text"]
    yield "The intervals are of the test rows; another seed of the training would move the points too."
    out = [one for one in curve["labels"] if one["stands_out"]]
    if out:
        named = (
            f"{one['label']} ({100 * one['gain']:+.0f} points, {one['rows']:,} rows)" for one in out[:LABELS_SHOWN]
        )
        yield f"Labels that gained significantly from the last of the rows: {', '.join(named)}."
    elif curve["labels"]:
        yield "No label stands out: what each gained by the last of the rows may be chance."
    yield f"In {CURVE_PATH}; `tunesmith run` puts it on the page of the run."
