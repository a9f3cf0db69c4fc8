"""What the command prints: errors in a line, of a run a short table, and where to look next."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from pipeline.arms import BASE, CHAMPION, FINETUNED
from pipeline.champion import Champion
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.verdicts import VERDICT_WORDS

if TYPE_CHECKING:  # MLflow takes seconds to import
    from flows.tracking.overview import VersionSummary

VERDICT_STYLES = {"promote": "green", "keep": "yellow", "unchanged": "green"}

SHOWN_REASONS = 4
INDENT = " " * 11
"""Before what belongs to a word at the left."""
DETAILED_ARMS = (BASE, FINETUNED, CHAMPION)
"""Arms of which more than the gate's measure is shown."""

console = Console(highlight=False, soft_wrap=True)

JSON = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
"""The option of commands that show things."""

P = ParamSpec("P")


def plain_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Show a UserError as one line and exit with 1, Ctrl-C with 130; leave every other exception alone."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except UserError as problem:
            print(f"error: {problem}", file=sys.stderr)
            raise typer.Exit(1) from problem
        except KeyboardInterrupt as stop:
            print("stopped; nothing is half-written, and the next run goes on from here", file=sys.stderr)
            raise typer.Exit(130) from stop

    return guarded


def freshness(reasons: Sequence[str], *, ran: bool) -> str:
    """Put the state of a stage into a few words: what changed since it ran, if it ever did."""
    if not reasons:
        return "[green]fresh[/]"
    if not ran:
        return "[yellow]stale[/]  not run here yet"
    more = f" and {len(reasons) - SHOWN_REASONS} more" if len(reasons) > SHOWN_REASONS else ""
    return f"[yellow]stale[/]  {', '.join(reasons[:SHOWN_REASONS])}{more}"


def status_lines(
    stages: Sequence[str], stale: Mapping[str, list[str]], ran: Iterable[str], champion: Champion | None
) -> Iterator[str]:
    """Say which stages are fresh, which other files that DVC keeps have changed, and who is champion."""
    for stage in stages:
        yield f"{stage:<10} {freshness(stale.get(stage, []), ran=stage in ran)}"
    for other in [name for name in stale if name not in stages]:
        yield f"{other:<10} [yellow]changed[/]  {'; '.join(stale[other])}"
    named = "none yet" if champion is None else f"{champion.release['name']}, adapter {champion.digest[:12]}"
    yield f"champion   {named}"


def status_values(stages: Sequence[str], stale: Mapping[str, list[str]], champion: Champion | None) -> dict[str, Any]:
    """The same as plain values: for each stage why it is stale, an empty list if it is fresh."""
    return {
        "stages": {stage: stale.get(stage, []) for stage in stages},
        "other": {name: why for name, why in stale.items() if name not in stages},
        "champion": None if champion is None else {"name": champion.release["name"], "adapter": champion.digest},
    }


def plain_table(*titles: str) -> Table:
    """Make an empty table without lines; the columns whose title ends in > stand to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title.removesuffix(">"), justify="right" if title.endswith(">") else "left")
    return table


def versions_table(summaries: "Sequence[VersionSummary]") -> Table:
    """Make the table of the versions of a model."""
    table = plain_table("version>", "aliases", "metric", "value>", "verdict", "made", "run")
    for one in summaries:
        value = "-" if one.value is None else f"{one.value:.3f}"
        table.add_row(one.version, ", ".join(one.aliases), one.metric, value, one.verdict, one.created, one.run[:8])
    return table


def print_results(root: Path) -> None:
    """Print the held-out results, the verdict and its reasons."""
    release = read_json(root / "data/register/release.json")
    console.print()
    console.print(arms_table(release["metrics"]))
    verdict, _, more = VERDICT_WORDS[release["verdict"]].partition(":")
    console.print(f"verdict    [{VERDICT_STYLES[release['verdict']]}]{verdict}[/]:{more}")
    for reason in release["reasons"]:
        console.print(f"{INDENT}{reason}", markup=False)
    worth = f"{release['worth']['text']} {read_json(root / 'data/register/cost.json')['text']}"
    console.print(f"worth it?  {worth}", markup=False)
    if release["worth"]["table"]:
        console.print(Padding(baselines_table(release["worth"]), (0, 0, 0, len(INDENT))))


def arms_table(metrics: dict[str, Any]) -> Table:
    """Make the table of what is measured of each arm, the gate's measure first.

    Of baselines that are neither the base model nor a champion, only the gate's. All there is, each house rule and each
    label too, is on the model card and in `data/evaluate/`.
    """
    table = plain_table("arm", "metric", "value>", "95 % interval", "n>")
    for arm, measures in metrics["arms"].items():
        for measure in shown_metrics(measures, metrics["metric"], whole=arm in DETAILED_ARMS):
            metric = measures[measure]
            table.add_row(
                arm,
                measure,
                f"{metric['value']:.3f}",
                f"{metric['low']:.3f} to {metric['high']:.3f}",
                str(metric["n"]),
            )
    return table


def baselines_table(worth: dict[str, Any]) -> Table:
    """Make the table of the baselines, the best first, with how much more the fine-tuned model has and what is sure."""
    table = plain_table("baseline", f"{worth['metric']}>", "fine-tuned has more", "p, corrected", "it is")
    for line in worth["table"]:
        if line["difference"] is None:
            table.add_row(line["arm"], f"{line['value']:.3f}")
            continue
        gain = f"{line['difference']:+.3f} ({line['difference_low']:+.3f} to {line['difference_high']:+.3f})"
        table.add_row(line["arm"], f"{line['value']:.3f}", gain, f"{line['p_value']:.2g}", line["word"])
    return table


def shown_metrics(measures: Iterable[str], gate: str, *, whole: bool) -> list[str]:
    """Choose the measures of an arm that are shown, in their order: not each house rule, and few twice."""
    first = [name for name in (gate, f"{gate} clean") if name in measures]
    others = [name for name in measures if not name.startswith("rule:") and not name.endswith(" clean")]
    return list(dict.fromkeys([*first, *others])) if whole else first


def next_steps(root: Path, version: str | None, *, champion: bool) -> None:
    """Say where to look after a run, and how to ask the champion, or to make one if there is none.

    Args:
        root: Of the checkout.
        version: Of the model that the run made; None if it is not known.
        champion: Whether there is one.
    """
    command = "tunesmith" if not (root / ".venv/bin/tunesmith").exists() else ".venv/bin/tunesmith"
    console.print("look at    data/validate/report.html      what was found in the data")
    console.print("           data/tokenize/preview.html     what training sees, token by token")
    console.print("           data/register/report.html      was it worth it: every number, and where the arms differ")
    console.print("           data/register/README.md        the model card")
    console.print(f"           {command + ' up':<30} runs, curves and versions in the browser")
    if champion:
        console.print(f"           {command + ' predict TEXT':<30} ask the champion")
    else:
        make = f"{command} promote {version or 'VERSION'} -m TEXT"
        console.print(f"           {make:<30} make it champion all the same")
