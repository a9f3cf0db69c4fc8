"""Commands on what stays up: the servers, and the watch."""

from typing import Annotated

import typer

from flows import paths
from flows.cli import console
from flows.cli.console import plain_errors

service_app = typer.Typer(rich_markup_mode="rich")


@service_app.command(rich_help_panel="Services")
@plain_errors
def up() -> None:
    """Start this project's Prefect server and MLflow pages in the background, on this machine alone.

    Runs are followed at the first address, models and curves at the second. `tunesmith run` starts faster while they
    are up.

    [dim]Example:[/]

        tunesmith up
    """
    from flows.service import servers
    from flows.tracking import sync as sync_module

    root = paths.project_root()
    sync_module.create_database(root)
    for server in servers.start_servers(root):
        console.console.print(f"{server.name:<8} {server.address}")


@service_app.command(rich_help_panel="Services")
@plain_errors
def down() -> None:
    """Stop what `tunesmith up` started.

    [dim]Example:[/]

        tunesmith down
    """
    from flows.service import servers

    stopped = servers.stop_servers(paths.project_root())
    console.console.print(
        "stopped " + ", ".join(server.name for server in stopped) if stopped else "nothing was running"
    )


@service_app.command(rich_help_panel="Run")
@plain_errors
def watch(
    quiet: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, help="How long the files must be unchanged before a run starts."),
    ] = 2.0,
) -> None:
    """Run whenever the sources or params.yaml change, if the rules in params.yaml say so; until Ctrl-C.

    What changes during a run leads to one run after it. A run that fails is reported, and the watch goes on. What was
    done is kept on disk: a watch that was killed goes on where it was. With TUNESMITH_WEBHOOK set (Slack, Teams, mail:
    any address of Apprise), it is notified of each run that ended, promoted or failed, and of decisions to be made.

    [dim]Example:[/]

        tunesmith watch
    """
    from flows.service.watch import watch_sources as keep_watching

    keep_watching(paths.project_root(), lambda line: console.console.print(line, markup=False), quiet)
