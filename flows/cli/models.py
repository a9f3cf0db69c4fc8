"""Commands on models: ask the champion, list versions, show what was measured, promote and roll back."""

import json
import subprocess
import sys
import webbrowser
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import paths
from flows.cli import console
from flows.cli.console import JSON, plain_errors
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.params import load_params

models_app = typer.Typer(rich_markup_mode="rich")


@models_app.command(rich_help_panel="Models")
@plain_errors
def predict(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="One or more messages.")],
) -> None:
    """Predict with the champion: one line of output for each text.

    [dim]Example:[/]

        tunesmith predict "where is my parcel?"
    """
    from flows.champion import store
    from flows.vcs.subprocesses import child_environment

    root = paths.project_root()
    name = load_params(root / "params.yaml").register.name
    if store.current_champion(root, name) is None:
        raise UserError(
            name, "has no champion yet", do="`tunesmith run` makes one, if the gate lets it; `tunesmith promote` does"
        )
    command = [sys.executable, "-m", "pipeline.predict", str(store.champion_folder(root, name)), *texts]
    process = subprocess.run(command, cwd=root, env=child_environment(), check=False)
    raise typer.Exit(process.returncode)


@models_app.command(rich_help_panel="Models")
@plain_errors
def versions(*, as_json: JSON = False) -> None:
    """List the versions of this project's model, the newest first: aliases, the gate's metric, verdict, date.

    [dim]Example:[/]

        tunesmith versions
    """
    from flows.tracking.overview import summarize_versions

    root = paths.project_root()
    params = load_params(root / "params.yaml")
    summaries = summarize_versions(root, params)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in summaries], indent=1))
        return
    if not summaries:
        console.console.print(f"{params.register.name} has no versions yet: `tunesmith run` makes one", markup=False)
        return
    console.console.print(console.versions_table(summaries))


@models_app.command(rich_help_panel="Models")
@plain_errors
def metrics(
    rev: Annotated[str | None, typer.Argument(metavar="REV", help="A commit, tag or run; else the files here.")] = None,
    *,
    as_json: JSON = False,
) -> None:
    """Show what was measured on the held-out rows: every arm with its intervals, here or at a commit.

    [dim]Examples:[/]

        tunesmith metrics           of the last run

        tunesmith metrics HEAD~3    as they were there
    """
    metrics_shown = release_to_show(paths.project_root(), rev)["metrics"]
    if as_json:
        typer.echo(json.dumps(metrics_shown, indent=1, sort_keys=True))
        return
    console.console.print(console.arms_table(metrics_shown))


def release_to_show(root: Path, rev: str | None) -> Mapping[str, Any]:
    """Read the release of a revision, else the one that is here.

    Raises:
        UserError: If there is none.
    """
    from flows.review.pull_request import release_at
    from flows.vcs.states import RELEASE_PATH, resolve_commit

    here = root / RELEASE_PATH
    if rev is not None:
        return release_at(root, resolve_commit(root, rev))
    if not here.exists():
        raise UserError(RELEASE_PATH, "no such file", do="`tunesmith run` measures a model")
    release: Mapping[str, Any] = read_json(here)
    return release


@models_app.command(rich_help_panel="Models")
@plain_errors
def report(*, browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False) -> None:
    """Print the path of the HTML report of the last run; with --open, show it in the browser.

    [dim]Example:[/]

        tunesmith report --open
    """
    page = paths.project_root() / "data/register/report.html"
    if not page.exists():
        raise UserError(str(page), "no such file", do="`tunesmith run` writes it")
    typer.echo(page)
    if browser and not webbrowser.open(page.as_uri()):
        raise UserError("--open", "no browser can be started here", do=f"open {page} by hand")


@models_app.command(rich_help_panel="Models")
@plain_errors
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number in MLflow.")],
    why: Annotated[str, typer.Option("--message", "-m", help="The reason; it is kept for good.")],
) -> None:
    """Make a version the champion, whatever the verdict of the gate.

    Who, when and why is kept in data/promotions.jsonl, for git, and shown at the version in MLflow.

    [dim]Example:[/]

        tunesmith promote 3 -m "fewer wrong refunds in the pilot"
    """
    from flows.tracking.promote import promote_version as make_champion

    for line in make_champion(paths.project_root(), version, why):
        console.console.print(line, markup=False)


@models_app.command(rich_help_panel="Models")
@plain_errors
def rollback(
    why: Annotated[
        str, typer.Option("--message", "-m", help="The reason; it is kept for good.")
    ] = "rolled back by hand",
) -> None:
    """Make the previous champion the champion again; repeated, it goes back further.

    [dim]Example:[/]

        tunesmith rollback
    """
    from flows.tracking.promote import rollback_champion as go_back

    for line in go_back(paths.project_root(), why):
        console.console.print(line, markup=False)
