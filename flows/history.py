"""Commands on what was: what changed since, who was champion, what made what."""

from typing import Annotated

import typer

from flows import place, show
from flows.show import plain_errors

app = typer.Typer(rich_markup_mode="rich")


@app.command()
@plain_errors
def diff(
    rev: Annotated[
        str | None,
        typer.Argument(metavar="REV", help="A commit, tag or run; else what the champion was made from."),
    ] = None,
) -> None:
    """Say what changed in the pairs, row by row, and what it calls for by the rules in params.yaml.

    Nothing is run or left behind. The same is recorded with every run.

    [dim]Examples:[/]

        tunesmith diff           since the champion, else since the last run

        tunesmith diff HEAD~3    since an earlier commit
    """
    from flows.difference import compare, lines

    for line in lines(*compare(place.root(), rev)):
        show.console.print(line, markup=False)


@app.command()
@plain_errors
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number in MLflow.")],
    why: Annotated[str, typer.Option(help="The reason; it is kept for good.")],
) -> None:
    """Make a version the champion, whatever the gate said of it.

    Who, when and why is kept in data/promotions.jsonl, for git, and shown at the version in MLflow.

    [dim]Example:[/]

        tunesmith promote 3 --why "fewer wrong refunds in the pilot"
    """
    from flows.promote import promote as make_champion

    for line in make_champion(place.root(), version, why):
        show.console.print(line)


@app.command()
@plain_errors
def rollback(
    why: Annotated[str, typer.Option(help="The reason; it is kept for good.")] = "rolled back by hand",
) -> None:
    """Make the champion before the present one the champion again; once more goes back further.

    [dim]Example:[/]

        tunesmith rollback
    """
    from flows.promote import rollback as go_back

    for line in go_back(place.root(), why):
        show.console.print(line)
