"""Which state is meant by a commit, a run of MLflow, or a version of a model."""

import re
from dataclasses import dataclass
from pathlib import Path

from flows.champion import promotion_log
from flows.champion.origin import made as origin_of
from flows.paths import PROMOTIONS
from flows.tracking.queries import Made, by_alias, by_commit, by_run, by_version
from flows.vcs.git import git
from pipeline.errors import Problem
from pipeline.params import load_params

RUN_ID = re.compile(r"[0-9a-f]{4,32}")
NUMBER = re.compile(r"\d{1,6}")
"""Longer ones are taken for the beginning of a commit or of a run."""
EXPECTED = "a commit, a run of MLflow or the beginning of its id, or a version: 3, NAME/3 or NAME@champion"
CHAMPION = "champion"


@dataclass(frozen=True)
class Target:
    """The state to make again, and the run that it is recorded as; None if MLflow knows of none."""

    commit: str
    made: Made | None


def resolve(root: Path, what: str) -> Target:
    """Find what is meant.

    A plain commit stands for the newest run that was made from it. MLflow knows who is champion; where it has no
    record, as in a fresh clone, the project's own file does.

    Raises:
        Problem: If nothing, or more than one thing, is called so, or the state was not kept.
    """
    made = version_called(root, what)
    runs = by_run(root, what) if made is None and RUN_ID.fullmatch(what) else []
    commit = (champion_called(root, what) or commit_called(root, what)) if made is None else None
    if len(runs) + (commit is not None) > 1:
        names = [f"run {run.run_id}" for run in runs] + ([f"commit {commit}"] if commit else [])
        raise Problem(what, "more than one thing is called so", got=", ".join(names), do="write more of the one meant")
    made = made or (runs[0] if runs else None) or (by_commit(root, commit) if commit else None)
    if made is None and commit is None:
        raise Problem(what, "nothing is called so", expected=EXPECTED)
    return Target(kept(root, made) if made else str(commit), made)


def version_called(root: Path, what: str) -> Made | None:
    """Find the version of this name; None if it is no name of one, or there is none."""
    if NUMBER.fullmatch(what):
        return by_version(root, load_params(root / "params.yaml").register.name, what)
    name, slash, number = what.rpartition("/")
    if slash and NUMBER.fullmatch(number):
        return by_version(root, name, number)
    name, alias = alias_called(root, what)
    return by_alias(root, name, alias) if alias else None


def alias_called(root: Path, what: str) -> tuple[str, str]:
    """Take a name and an alias apart, without a name the project's own; the alias is empty if there is none."""
    name, at, alias = what.rpartition("@")
    if not at or alias.startswith("{"):
        return what, ""
    return name or load_params(root / "params.yaml").register.name, alias


def champion_called(root: Path, what: str) -> str | None:
    """Find the commit that made the champion, by what the project's file says of it; None if that is not its name.

    Raises:
        Problem: If nobody was ever champion, or the state that made it is not here.
    """
    name, alias = alias_called(root, what)
    if alias != CHAMPION or name != load_params(root / "params.yaml").register.name:
        return None
    told = promotion_log.moves(root, name)
    if not told:
        raise Problem(
            f"{name}@{CHAMPION}",
            "nobody was ever promoted",
            expected=f"a line of {name} in {PROMOTIONS}",
            do="`tunesmith run` makes the first champion; commit that file and dvc.lock",
        )
    digest = promotion_log.reigns(told)[-1]
    return origin_of(root, digest, promotion_log.made_by(told, digest)).commit


def commit_called(root: Path, what: str) -> str | None:
    """Find the commit of this name; None if there is none."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{what}^{{commit}}")
    except Problem:
        return None


def kept(root: Path, made: Made) -> str:
    """Give the commit that holds a run's state.

    Raises:
        Problem: If none is recorded, or this repository has no such commit.
    """
    where = f"{made.version.name} version {made.version.number}"
    if not made.commit:
        raise Problem(where, "the state that it was made from is not recorded", do="name the run that made it")
    if commit_called(root, made.commit) is None:
        raise Problem(
            where,
            f"its state {made.commit[:12]} is not in this repository",
            do="fetch it from where the run was made: `git fetch REMOTE 'refs/tunesmith/*:refs/tunesmith/*'`",
        )
    return made.commit
