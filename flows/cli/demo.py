"""The sets of the demo: which there are, and the params of one as the project's own."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from flows import paths
from flows.cli import console
from flows.cli.console import plain_errors
from flows.vcs.git import run_git
from pipeline.errors import UserError

PARAMS_SUFFIX = ".params.yaml"

demo_app = typer.Typer(rich_markup_mode="rich")


@demo_app.command(rich_help_panel="Start")
@plain_errors
def use_demo(
    name: Annotated[str, typer.Argument(metavar="SET", help="triage, replies or decisions: see data/demo/README.md.")],
) -> None:
    """Put the params of a set of the demo in place of params.yaml, for the next `tunesmith run`.

    A params.yaml is replaced only if git or the demo holds the same; one with changes of yours stays, with a message.

    [dim]Examples:[/]

        tunesmith use-demo replies  the shop's answers to its customers

        tunesmith use-demo triage   back to what a fresh clone runs
    """
    console.console.print(switch_params(paths.project_root(), name), markup=False)


def demo_sets(root: Path) -> dict[str, Path]:
    """Each set of the demo, by name, with its params."""
    return {
        path.name.removesuffix(PARAMS_SUFFIX): path
        for path in sorted((root / "data" / "demo").glob(f"*{PARAMS_SUFFIX}"))
    }


def switch_params(root: Path, name: str) -> str:
    """Put the params of a set in place of params.yaml; say what was done.

    Raises:
        UserError: If there is no such set, or params.yaml holds changes that would be lost.
    """
    there, params = demo_sets(root), root / "params.yaml"
    if name not in there:
        known = ", ".join(there) or "none: data/demo holds no params"
        raise UserError(name or "SET", "no such set of the demo", expected=known, do="name one of them")
    now = params.read_bytes()
    if now == there[name].read_bytes():
        return f"params.yaml is that of the {name} set already"
    back = restore_command(root, now)
    shutil.copyfile(there[name], params)
    return f"params.yaml is that of the {name} set now; back to the one before: {back}"


def restore_command(root: Path, now: bytes) -> str:
    """Say by which command these bytes come back to params.yaml.

    Raises:
        UserError: If neither the demo nor git has them.
    """
    for name, path in demo_sets(root).items():
        if path.read_bytes() == now:
            return f"tunesmith use-demo {name}"
    if is_committed(root, "params.yaml"):
        return "git checkout HEAD params.yaml"
    raise UserError(
        "params.yaml",
        "has changes that git does not have",
        do="commit them, or `git checkout HEAD params.yaml`, and try again; `tunesmith run` runs with them as they are",
    )


def is_committed(root: Path, name: str) -> bool:
    """Say whether the last commit has a file as it is now."""
    try:
        return run_git(root, "rev-parse", f"HEAD:./{name}") == run_git(root, "hash-object", name)
    except UserError:
        return False  # no repository, no commit, or not a file of it: nothing could bring it back
