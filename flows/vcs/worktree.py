"""The files of a commit laid out elsewhere, with the data that DVC keeps of them; the checkout stays as it is."""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.paths import state_dir
from flows.vcs.dvc import run_dvc
from flows.vcs.dvc_lock import dvc_md5, locked_outputs
from flows.vcs.git import NO_HOOKS, run_git
from pipeline.errors import UserError
from pipeline.params import read_yaml


def add_worktree(root: Path, commit: str, name: str) -> Path:
    """Lay out the files of a commit in the private folder of this name; what an earlier call left there is removed.

    Its DVC has the cache and the remote that the checkout has now: where data lie is no part of a commit.
    """
    remove_worktree(root, name)
    tree = state_dir(root) / name
    run_git(root, "-c", NO_HOOKS, "worktree", "add", "--detach", str(tree), commit)
    own = tree / ".dvc" / "config.local"
    own.touch(mode=0o600)  # a remote may come with a password
    own.write_text(write_local_config(dvc_settings(root), root / ".dvc" / "cache"), encoding="utf-8")
    return tree


def write_local_config(settings: Mapping[str, str], cache: Path) -> str:
    """Write the settings by which a worktree reaches the cache and the remote of its checkout, in DVC's own format.

    Args:
        settings: DVC's settings in the checkout by their dotted names.
        cache: Where the cache is if they do not say.
    """
    lines = ["[cache]", f"    dir = {quote_value(settings.get('cache.dir', str(cache)))}"]
    remote = settings.get("core.remote")
    if remote is not None:
        above = f"remote.{remote}."
        own = {name.removeprefix(above): value for name, value in settings.items() if name.startswith(above)}
        own["verify"] = "true"  # else DVC takes on trust what comes from there
        lines += ["[core]", f"    remote = {quote_value(remote)}", f"['remote \"{remote}\"']"]
        lines += [f"    {name} = {quote_value(value)}" for name, value in own.items()]
    return "\n".join(lines) + "\n"


def quote_value(value: str) -> str:
    """Quote a value, with the quotes that are not in it."""
    return f"'{value}'" if '"' in value else f'"{value}"'


def remove_worktree(root: Path, name: str) -> None:
    """Remove a worktree, also one that a killed process left half-made."""
    shutil.rmtree(state_dir(root) / name, ignore_errors=True)
    known = run_git(root, "worktree", "list", "--porcelain").splitlines()
    if f"worktree {(state_dir(root) / name).resolve()}" in known:
        run_git(root, "worktree", "remove", "--force", str(state_dir(root) / name))


def dvc_settings(root: Path) -> dict[str, str]:
    """Read DVC's settings, merged from all of its files, each by its dotted name; local addresses are absolute."""
    lines = run_dvc(root, "config", "--list").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def default_remote(root: Path) -> str | None:
    """Name the remote that DVC pushes to; None if none is set."""
    return dvc_settings(root).get("core.remote")


def fetch_worktree_data(tree: Path, *pointers: str) -> None:
    """Bring the data of a worktree from the cache, or from the remote if they are not there, and hash every byte.

    Args:
        tree: The worktree.
        pointers: The `.dvc` files whose data are wanted; all data if none is named.

    Raises:
        UserError: With each object that is in neither, or is not the bytes that were recorded.
    """
    wanted = dict(pointed_outputs(tree, pointers) if pointers else tracked_outputs(tree))
    try:
        run_dvc(tree, "checkout", "--force", *pointers)
    except UserError:
        pull_missing(tree, wanted, *pointers)
    damaged = [path for path, md5 in wanted.items() if not (tree / path).exists() or dvc_md5(tree / path) != md5]
    if damaged:
        raise UserError(
            ", ".join(damaged),
            "not the bytes that were recorded",
            do="DVC's copy of them is damaged: remove it from the cache, and have it pulled again",
        )


def pull_missing(tree: Path, wanted: Collection[str], *pointers: str) -> None:
    """Bring from the remote what the cache lacks.

    Raises:
        UserError: With each object that cannot be had.
    """
    remote = default_remote(tree)
    try:
        run_dvc(tree, "pull" if remote else "checkout", "--force", *pointers)
    except UserError as problem:
        missing = data_status(tree).get("not_in_cache", [])
        lacking = [name for name in missing if any(Path(name).is_relative_to(path) for path in wanted)]
        if not lacking:
            raise
        sources = f"the remote {remote}" if remote else "a remote, since none is set"
        raise UserError(
            ", ".join(lacking),
            f"neither in DVC's cache nor in {sources}",
            do="push them from where the run was made: `dvc push`",
        ) from problem


def data_status(tree: Path, *more: str) -> dict[str, Any]:
    """Ask DVC what objects the cache lacks and, with `--not-in-remote`, what objects the remote lacks.

    Each object is looked up, within folders too. `dvc status --cloud` and `dvc push` look for folders only once they
    have seen them whole.
    """
    status: dict[str, Any] = json.loads(run_dvc(tree, "data", "status", "--granular", "--json", *more))
    return status


def tracked_outputs(tree: Path) -> Iterator[tuple[str, str]]:
    """List what DVC keeps for a worktree: path and MD5 of each output of a stage, and of what `.dvc` files point to."""
    for outs in locked_outputs(tree).values():
        yield from outs.items()
    yield from pointed_outputs(tree, pointer_files(tree))


def pointer_files(tree: Path) -> list[str]:
    """Name the `.dvc` files that git has."""
    return [name for name in run_git(tree, "ls-files", "-z", "--", "*.dvc").split("\0") if name]


def pointed_outputs(tree: Path, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """List what `.dvc` files point to: path and MD5."""
    for name in names:
        pointer = read_yaml(tree / name)
        folder = Path(name).parent / pointer.get("wdir", ".")
        yield from ((str(folder / out["path"]), out["md5"]) for out in pointer["outs"])
