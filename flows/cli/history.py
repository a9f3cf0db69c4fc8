"""Commands on what was: what changed since, who was champion, what made what."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from flows import paths
from flows.cli import console
from flows.cli.console import JSON, plain_errors

history_app = typer.Typer(rich_markup_mode="rich")


@history_app.command(rich_help_panel="Data")
@plain_errors
def diff(
    rev: Annotated[
        str | None,
        typer.Argument(metavar="REV", help="A commit, tag or run; else what the champion was made from."),
    ] = None,
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A comment for a pull request: model, accepted tokens, pairs.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Show which pairs changed since the champion (or REV), and which rules in params.yaml that triggers.

    Nothing is run or left behind. The same is recorded with every run.

    [dim]Examples:[/]

        tunesmith diff           since the champion, else since the last run

        tunesmith diff HEAD~3    since an earlier commit

        tunesmith diff --markdown main   the model and the accepted tokens too, for GitHub
    """
    from flows.review.data_diff import compare_pairs, data_diff_lines
    from flows.review.pull_request import review_changes
    from flows.vcs.recovery import recover_if_free

    root = paths.project_root()
    recover_if_free(root)
    if markdown:
        sys.stdout.write(review_changes(root, rev))
        return
    against, compared = compare_pairs(root, rev)
    if as_json:
        typer.echo(json.dumps({"against": asdict(against), **compared}, indent=1, default=str))
        return
    for line in data_diff_lines(against, compared):
        console.console.print(line, markup=False)


@history_app.command(rich_help_panel="History")
@plain_errors
def bisect(
    good: Annotated[str, typer.Option(metavar="REV", help="A commit where the metric is good.")],
    bad: Annotated[str, typer.Option(metavar="REV", help="A later one on its line, where it is bad.")],
    metric: Annotated[
        str, typer.Option(help="As evaluate names it, or f1, precision or recall of a label: f1[LABEL].")
    ],
    limit: Annotated[
        float | None, typer.Option("--threshold", help="Bad is below it; else halfway between good and bad.")
    ] = None,
) -> None:
    r"""Find the commit that made a metric worse, by binary search, and show what it changed, row by row.

    A binary search. What dvc.lock or DVC's cache has of a commit is read, the rest is made in a worktree, with the
    packages of now; MLflow and the champion stay as they are. Broken off, it goes on where it was.

    [dim]Example:[/]

        tunesmith bisect --good HEAD~12 --bad HEAD --metric 'f1\[refund]'
    """
    from flows.bisect.bisect import run_bisect as find

    find(paths.project_root(), good, bad, metric, limit, lambda line: console.console.print(line, markup=False))


@history_app.command(rich_help_panel="Start")
@plain_errors
def pull() -> None:
    """Fetch what DVC keeps of this commit into a clone: sources, outputs of the stages, and the champion.

    From the cache, and from the remote if one is set. What is lost of the stages the next run makes again.

    [dim]Example:[/]

        tunesmith pull
    """
    from flows.project.pull import pull_project as bring

    for line in bring(paths.project_root()):
        console.console.print(line, markup=False)


@history_app.command(rich_help_panel="History")
@plain_errors
def lineage(
    name: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Of a commit, data, run, version, alias or adapter; or a file."),
    ] = None,
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Compute everything again, and name what is wrong.")] = False,
    as_json: JSON = False,
) -> None:
    """Show the provenance of models, from source files to MLflow alias: every chain that ID is part of, or all.

    Digests and ids may be cut to their first four characters or more. With --verify each fault is a line, and the
    exit code is 1 if there is any.

    [dim]Examples:[/]

        tunesmith lineage champion              what made the champion

        tunesmith lineage data/raw/pairs.jsonl  which models were made of this file, as it is now

        tunesmith lineage --verify              check every model there is
    """
    from flows.lineage.chains import build_chains, chain_lines, find_chains
    from flows.lineage.verify import find_faults

    root = paths.project_root()
    chains = build_chains(root) if name is None else find_chains(root, name)
    if as_json:
        typer.echo(json.dumps([asdict(chain) for chain in chains], indent=1, default=str))
    else:
        for line in (line for chain in chains for line in [*chain_lines(chain), ""]):
            console.console.print(line, markup=False)
    if verify:
        wrong = find_faults(root, chains)
        for problem in wrong:
            print(f"fault: {problem}", file=sys.stderr)
        console.console.print(f"{len(chains)} chains checked, {len(wrong)} faults")
        raise typer.Exit(1 if wrong else 0)
