"""The `tunesmith` command: each command in a few lines, the work elsewhere."""

import json
import subprocess
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from flows import paths
from flows.cli import console, demo, history, learning_curve, models, service
from flows.cli.console import JSON, plain_errors
from flows.vcs import dvc_lock, git
from pipeline.errors import UserError
from pipeline.params import load_params

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Every fine-tuned model out of one versioned pipeline: run it, look at it, rebuild it.",
)

app.add_typer(history.history_app)
app.add_typer(service.service_app)
app.add_typer(demo.demo_app)
app.add_typer(models.models_app)
app.add_typer(learning_curve.learning_curve_app)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"tunesmith {installed_version('tunesmith')}")
        raise typer.Exit


@app.callback()
def choose_folder(
    folder: Annotated[
        Path | None, typer.Option("-C", metavar="DIR", file_okay=False, exists=True, help="Run as if started in DIR.")
    ] = None,
    *,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Every fine-tuned model out of one versioned pipeline: run it, look at it, rebuild it."""
    if folder is not None:
        paths.change_folder(folder)


@app.command(rich_help_panel="Run")
@plain_errors
def run(
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    force: Annotated[str | None, typer.Option(metavar="STAGE", help="Run this stage even if it is fresh.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-S", metavar="SECTION.KEY=VALUE", help="Write this into params.yaml first; repeatable."),
    ] = None,
) -> None:
    """Bring every stale stage up to date, and record the result.

    What is fresh is skipped. The first stage that fails ends the run with its reason.

    [dim]Examples:[/]

        tunesmith run                   all that is stale, from ingest to register

        tunesmith run --until validate  only look at the data

        tunesmith run --force finetune  train again with the same data and params

        tunesmith run --set finetune.epochs=5  change params.yaml, show the difference, and run
    """
    from flows.champion import store
    from flows.run.overrides import override_params
    from flows.run.run import run_project as run_stale

    root = paths.project_root()
    for line in override_params(root / "params.yaml", overrides or []):
        console.console.print(line, markup=False)
    plan, report = run_stale(root, until, force, console.console.print)
    if report is None:
        console.console.print(f"nothing to do: all {len(plan.stages)} stages are fresh, no stage was run")
        return
    ran = sum(outcome == "ran" for outcome, _ in report.stages.values())
    recorded = f"MLflow run {report.run_id[:8]}, {report.version or 'no release'}"
    if report.unlogged:
        recorded = f"{report.unlogged}; the next run logs it, or `tunesmith sync`"
    console.console.print(f"\n{ran} of {len(report.stages)} stages run; {recorded}", markup=False)
    if report.remote != "none":
        console.console.print(f"data in DVC's remote: {report.remote}; state in git's: {report.pushed}", markup=False)
    if plan.complete:
        console.print_results(root)
        made = report.version.split()[-1] if report.version else None
        console.next_steps(root, made, champion=store.current_champion(root, plan.params.register.name) is not None)


@app.command(rich_help_panel="Data")
@plain_errors
def check_data() -> None:
    """Show what the checks found in the data: counts, rows, and how to mend them; also after a run that stopped there.

    [dim]Example:[/]

        tunesmith check-data
    """
    from flows.review.data_findings import findings_lines

    for line in findings_lines(paths.project_root()):
        console.console.print(line, markup=False)


@app.command(rich_help_panel="Run")
@plain_errors
def estimate() -> None:
    """Estimate what a run will cost: tokens, steps, time, memory and disk, measured on a few steps that are not kept.

    The data are checked and tokenized first, if they are stale; what will not fit is a warning.

    [dim]Example:[/]

        tunesmith estimate
    """
    from flows.run.run import run_project as run_stale
    from flows.vcs.subprocesses import child_environment

    root = paths.project_root()
    run_stale(root, "tokenize", None, console.console.print)
    console.console.print("taking a few steps to measure")
    process = subprocess.run(
        [sys.executable, "-m", "pipeline.estimate"], cwd=root, env=child_environment(), check=False
    )
    if process.returncode < 0:
        raise UserError(
            "tunesmith estimate",
            f"its steps were ended by signal {-process.returncode}, most likely for want of memory",
            do="lower finetune.micro_batch_tokens",
        )
    raise typer.Exit(process.returncode)


@app.command(rich_help_panel="Run")
@plain_errors
def status(
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if any stage is stale.")] = False,
    as_json: JSON = False,
) -> None:
    """Show each stage, fresh or stale and why, and who the champion is.

    [dim]Examples:[/]

        tunesmith status

        tunesmith status --check  for CI: exit code 1 if something is stale
    """
    from flows.champion import store
    from flows.vcs import dvc
    from flows.vcs.recovery import recover_if_free

    root = paths.project_root()
    recover_if_free(root)
    params, _ = load_params(root / "params.yaml"), git.head_commit(root)
    stale, ran = dvc.stale_stages(root), dvc_lock.locked_outputs(root)
    stages = dvc.stage_names(root)
    champion = store.current_champion(root, params.register.name)
    if as_json:
        typer.echo(json.dumps(console.status_values(stages, stale, champion), indent=1))
    else:
        for line in console.status_lines(stages, stale, ran, champion):
            console.console.print(line)
    raise typer.Exit(1 if check and stale else 0)


@app.command(rich_help_panel="History")
@plain_errors
def reproduce(
    what: Annotated[
        str, typer.Argument(metavar="COMMIT|RUN|VERSION", help="3, NAME/3, @champion, a run's id, or a commit.")
    ],
    env: Annotated[
        bool, typer.Option("--env", help="Install the packages that it pins, and use those: needs the network.")
    ] = False,
) -> None:
    """Retrain a past model from its own code and data, and check whether each step came out the same.

    Exit code 0: identical, or within the tolerance that is declared for another kind of machine. 1: it differs, with
    the first step that does, and why.

    [dim]Examples:[/]

        tunesmith reproduce 3                 version 3 of this project's model

        tunesmith reproduce @champion         in a fresh clone too, where MLflow knows nothing

        tunesmith reproduce 4f1c2d --env      a run or a commit, with the packages of its time
    """
    from flows.reproduce.rebuild import reproduce_model as make_again

    outcome = make_again(
        paths.project_root(), what, lambda line: console.console.print(line, markup=False), own_packages=env
    )  # fmt: skip
    raise typer.Exit(1 if outcome.result == "differs" else 0)


@app.command(rich_help_panel="Services")
@plain_errors
def sync() -> None:
    """Make MLflow agree with the files: log the runs and register the versions that it lacks.

    [dim]Example:[/]

        tunesmith sync
    """
    from flows.tracking.sync import sync_mlflow as make_agree

    for line in make_agree(paths.project_root()) or ["MLflow agrees with the files already"]:
        console.console.print(line, markup=False)


@app.command(rich_help_panel="Start")
@plain_errors
def new(
    folder: Annotated[Path, typer.Argument(help="The new project; must not exist yet.")],
    pairs: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Your prompt/response pairs: JSONL, JSON, CSV or Parquet."),
    ],
    test: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Your own test set; without it a share of the pairs is held out.",
        ),
    ] = None,
    prompt_column: Annotated[
        str | None, typer.Option(help="Column with the prompt, if its name does not say so.")
    ] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column with the completion or label.")] = None,
) -> None:
    """Create a project like this one from your own pairs.

    Git and DVC are set up, the data tracked by DVC, params.yaml filled in, the first commit made.

    [dim]Examples:[/]

        tunesmith new ../support --pairs chats.jsonl

        tunesmith new ../intents --pairs train.csv --test test.csv --prompt-column text --completion-column category
    """
    from flows.project.new import UserData, make_project

    given = UserData(pairs, test, prompt_column, completion_column)
    for line in make_project(folder, given):
        console.console.print(line, markup=False)


@app.command(rich_help_panel="Data")
@plain_errors
def accept_tokens() -> None:
    """Accept the present tokens of the golden pairs (a few training pairs), and show what changed.

    They are written to data/golden_tokens.jsonl, for git. A run whose tokens for them are others stops at tokenize.

    [dim]Example:[/]

        tunesmith accept-tokens
    """
    from flows.vcs.subprocesses import child_environment

    command = [sys.executable, "-m", "pipeline.tokenize.golden_tokens"]
    process = subprocess.run(command, cwd=paths.project_root(), env=child_environment(), check=False)
    raise typer.Exit(process.returncode)
