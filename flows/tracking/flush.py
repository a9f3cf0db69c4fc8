"""What runs have to tell, told to MLflow: when they end, or as soon as it answers again."""

import tempfile
from pathlib import Path

from mlflow.exceptions import MlflowException

from flows.champion.store import bring_release
from flows.paths import tracking_uri
from flows.tracking.artifacts import show_change, show_refused
from flows.tracking.client import client
from flows.tracking.outbox import Account, change_of, forget, mark, put_aside, read, untold
from flows.tracking.rebuild import register_past
from flows.tracking.release import RELEASE_TAG, record, release_digest
from flows.tracking.runs import Run, begin, points_of, ship
from flows.tracking.versions import Version
from flows.vcs.git import git
from flows.vcs.snapshot import Snapshot
from flows.vcs.states import past
from pipeline.errors import Problem
from pipeline.params import Params, load_params

LIVE = "live.jsonl"
"""The curves, in the folder of the run, as the training wrote them."""
AWAY = (MlflowException, OSError)
"""What MLflow raises when its server is away: its own error, or that of the library that asks for it."""


def tell(root: Path, folder: Path, params: Params) -> Version | None:
    """Tell MLflow of the run of a folder: told twice, it is there once.

    Returns:
        Its version; None if it made no release.
    """
    account = read(folder)
    run = found(root, account, params_of(root, account) or params, folder.name)
    if account.change:
        show_change(run, *change_of(account.change))
    run.tag(account.tags)
    ship(run, points_of(folder / LIVE))
    if account.status == "FAILED":
        show_refused(run, account.started)
    version = None
    if account.release and account.state:
        version = version_of(run, account.release, account.state)
    run.end(account.status)
    forget(folder)
    return version


def params_of(root: Path, account: Account) -> Params | None:
    """Read the params of the state that a run was kept as, whatever they are by now; None if it was not kept."""
    if account.state is None:
        return None
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        path = Path(place) / "params.yaml"
        path.write_text(git(root, "show", f"{account.state.commit}:params.yaml"), encoding="utf-8")
        return load_params(path)


def found(root: Path, account: Account, params: Params, name: str) -> Run:
    """Find the run in MLflow, or begin it anew if MLflow has lost it."""
    try:
        client(root).get_run(account.run)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return begin(root, params, name)
    return Run(root, account.run)


def version_of(run: Run, release: str, state: Snapshot) -> Version:
    """Record the release of a run, from the files, or from what DVC keeps if the files are others by now."""
    if (run.root / "data/register/release.json").exists() and release_digest(run.root) == release:
        version = record(run, state)
        mark(run.root)
        return version
    kept = past(run.root, state.commit)
    if kept is None:
        raise Problem(f"commit {state.commit[:12]}", "holds no dvc.lock any more", do="bring the repository back")
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        version = register_past(run, bring_release(run.root, kept, Path(place)), state.commit)
    run.tag({RELEASE_TAG: release})
    return version


def tell_or_wait(root: Path, folder: Path, params: Params) -> tuple[Version | None, str]:
    """Tell MLflow of a run that has just ended; what MLflow does not take now stays on disk.

    Returns:
        Its version, if it made one and MLflow knows it; and why MLflow was not told, empty if it was.
    """
    try:
        return tell(root, folder, params), ""
    except AWAY:
        if answers(root):
            raise
        return None, f"MLflow does not answer at {tracking_uri(root)}"


def answers(root: Path) -> bool:
    """Say whether MLflow answers at all."""
    try:
        client(root).search_experiments(max_results=1)
    except AWAY:
        return False
    return True


def catch_up(root: Path, params: Params) -> list[str]:
    """Tell MLflow what it missed while it was away; say of which runs.

    What cannot be told, since MLflow has deleted the run or DVC what it made, is put aside: it must not stop others.

    Raises:
        Problem: If MLflow is still away.
    """
    done = []
    client(root)
    for folder in untold(root):
        try:
            version = tell(root, folder, params)
        except (*AWAY, Problem) as error:
            if not answers(root):
                raise Problem(tracking_uri(root), "MLflow does not answer", do="start it, and try again") from error
            done.append(f"run {folder.name} cannot be told to MLflow: {error}; it is kept in {put_aside(folder)}")
            continue
        known = f", {version.name} version {version.number}" if version else ""
        done.append(f"run {folder.name} told to MLflow, which was away when it ended{known}")
    return done
