"""The sets of the demo: which there are, and the params of one as the project's own."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from flows import paths
from flows.cli import console
from flows.cli.console import plain_errors
from flows.vcs.git import git
from pipeline.errors import Problem

ENDING = ".params.yaml"

app = typer.Typer(rich_markup_mode="rich")


@app.command()
@plain_errors
def demo(
    name: Annotated[str, typer.Argument(metavar="SET", help="triage, replies or decisions: see data/demo/README.md.")],
) -> None:
    """Put the params of a set of the demo in place of params.yaml, for the next `tunesmith run`.

    Only a params.yaml that git or the demo has as it is gives way; one with changes of yours stays, and you are told.

    [dim]Examples:[/]

        tunesmith demo replies  the shop's answers to its customers

        tunesmith demo triage   back to what a fresh clone runs
    """
    console.console.print(take(paths.root(), name), markup=False)


def sets(root: Path) -> dict[str, Path]:
    """Each set of the demo, by name, with its params."""
    return {path.name.removesuffix(ENDING): path for path in sorted((root / "data" / "demo").glob(f"*{ENDING}"))}


def take(root: Path, name: str) -> str:
    """Put the params of a set in place of params.yaml; say what was done.

    Raises:
        Problem: If there is no such set, or params.yaml holds changes that would be lost.
    """
    there, params = sets(root), root / "params.yaml"
    if name not in there:
        known = ", ".join(there) or "none: data/demo holds no params"
        raise Problem(name or "SET", "no such set of the demo", expected=known, do="name one of them")
    now = params.read_bytes()
    if now == there[name].read_bytes():
        return f"params.yaml is that of the {name} set already"
    back = way_back(root, now)
    shutil.copyfile(there[name], params)
    return f"params.yaml is that of the {name} set now; back to the one before: {back}"


def way_back(root: Path, now: bytes) -> str:
    """Say by which command these bytes come back to params.yaml.

    Raises:
        Problem: If neither the demo nor git has them.
    """
    for name, path in sets(root).items():
        if path.read_bytes() == now:
            return f"tunesmith demo {name}"
    if git_has(root, "params.yaml"):
        return "git checkout HEAD params.yaml"
    raise Problem(
        "params.yaml",
        "has changes that git does not have",
        do="commit them, or `git checkout HEAD params.yaml`, and try again; `tunesmith run` runs with them as they are",
    )


def git_has(root: Path, name: str) -> bool:
    """Say whether the last commit has a file as it is now."""
    try:
        return git(root, "rev-parse", f"HEAD:./{name}") == git(root, "hash-object", name)
    except Problem:
        return False  # no repository, no commit, or not a file of it: nothing could bring it back
