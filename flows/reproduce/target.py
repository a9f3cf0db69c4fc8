"""Which state is meant by a commit, a run of MLflow, or a version of a model."""

import re
from dataclasses import dataclass
from pathlib import Path

from flows.champion import promotion_log
from flows.champion.origin import origin_state as origin_of
from flows.paths import PROMOTIONS
from flows.tracking.queries import VersionOrigin, origin_by_alias, origin_by_commit, origin_by_version, origins_by_run
from flows.tracking.versions import CHAMPION_NAME
from flows.vcs.git import run_git
from pipeline.errors import UserError
from pipeline.params import load_params

RUN_ID = re.compile(r"[0-9a-f]{4,32}")
VERSION_NUMBER = re.compile(r"\d{1,6}")
"""Longer ones are taken for the beginning of a commit or of a run."""
EXPECTED_TARGET = "a commit, a run of MLflow or the beginning of its id, or a version: 3, NAME/3 or NAME@champion"


@dataclass(frozen=True)
class ReproductionTarget:
    """The state to make again, and the run that it is recorded as; None if MLflow knows of none."""

    commit: str
    origin: VersionOrigin | None


def resolve_target(root: Path, what: str) -> ReproductionTarget:
    """Find what is meant.

    A plain commit stands for the newest run that was made from it. MLflow knows who is champion; where it has no
    record, as in a fresh clone, the project's own file does.

    Raises:
        UserError: If nothing, or more than one thing, is called so, or the state was not kept.
    """
    made = find_version_target(root, what)
    runs = origins_by_run(root, what) if made is None and RUN_ID.fullmatch(what) else []
    commit = (find_champion_commit(root, what) or find_commit(root, what)) if made is None else None
    if len(runs) + (commit is not None) > 1:
        names = [f"run {run.run_id}" for run in runs] + ([f"commit {commit}"] if commit else [])
        raise UserError(
            what, "more than one thing is called so", got=", ".join(names), do="write more of the one meant"
        )
    made = made or (runs[0] if runs else None) or (origin_by_commit(root, commit) if commit else None)
    if made is None and commit is None:
        raise UserError(what, "nothing is called so", expected=EXPECTED_TARGET)
    return ReproductionTarget(snapshot_commit(root, made) if made else str(commit), made)


def find_version_target(root: Path, what: str) -> VersionOrigin | None:
    """Find the version of this name; None if it is no name of one, or there is none."""
    if VERSION_NUMBER.fullmatch(what):
        return origin_by_version(root, load_params(root / "params.yaml").register.name, what)
    name, slash, number = what.rpartition("/")
    if slash and VERSION_NUMBER.fullmatch(number):
        return origin_by_version(root, name, number)
    name, alias = split_alias(root, what)
    return origin_by_alias(root, name, alias) if alias else None


def split_alias(root: Path, what: str) -> tuple[str, str]:
    """Take a name and an alias apart, without a name the project's own; the alias is empty if there is none."""
    name, at, alias = what.rpartition("@")
    if not at or alias.startswith("{"):
        return what, ""
    return name or load_params(root / "params.yaml").register.name, alias


def find_champion_commit(root: Path, what: str) -> str | None:
    """Find the commit that made the champion, by what the project's file says of it; None if that is not its name.

    Raises:
        UserError: If nobody was ever champion, or the state that made it is not here.
    """
    name, alias = split_alias(root, what)
    if alias != CHAMPION_NAME or name != load_params(root / "params.yaml").register.name:
        return None
    promotions = promotion_log.read_promotions(root, name)
    if not promotions:
        raise UserError(
            f"{name}@{CHAMPION_NAME}",
            "nobody was ever promoted",
            expected=f"a line of {name} in {PROMOTIONS}",
            do="`tunesmith run` makes the first champion; commit that file and dvc.lock",
        )
    digest = promotion_log.succession(promotions)[-1]
    return origin_of(root, digest, promotion_log.commit_of_promotion(promotions, digest)).commit


def find_commit(root: Path, what: str) -> str | None:
    """Find the commit of this name; None if there is none."""
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{what}^{{commit}}")
    except UserError:
        return None


def snapshot_commit(root: Path, made: VersionOrigin) -> str:
    """Give the commit that holds a run's state.

    Raises:
        UserError: If none is recorded, or this repository has no such commit.
    """
    where = f"{made.version.name} version {made.version.number}"
    if not made.commit:
        raise UserError(where, "the state that it was made from is not recorded", do="name the run that made it")
    if find_commit(root, made.commit) is None:
        raise UserError(
            where,
            f"its state {made.commit[:12]} is not in this repository",
            do="fetch it from where the run was made: `git fetch REMOTE 'refs/tunesmith/*:refs/tunesmith/*'`",
        )
    return made.commit
