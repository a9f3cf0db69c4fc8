"""Laws of what is meant by a commit, a run or a version, on a real database of MLflow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.champion.promotion_log import Promotion, append_promotion
from flows.reproduce.target import ReproductionTarget, resolve_target
from flows.tracking.client import mlflow_client
from flows.tracking.queries import VersionOrigin, tag_origin
from flows.tracking.runs import begin_mlflow_run
from flows.tracking.versions import ModelVersion
from flows.vcs.git import head_commit
from pipeline.errors import UserError
from pipeline.params import load_params
from tests.support.champion_history import NAME, crowned
from tests.support.repositories import PROJECT, apart, git, make_checkout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with two commits, and a run that gave version 1 of its model from the first."""
    place = tmp_path_factory.mktemp("reproduce")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, "")  # so that what MLflow sets itself is forgotten afterwards
            patch.delenv(name)
        for name, value in apart(place).items():
            patch.setenv(name, value)
        params = (PROJECT / "params.yaml").read_text(encoding="utf-8")
        root = make_checkout(place / "project", {"params.yaml": params, ".gitignore": "/.tunesmith/\n"}, dvc=False)
        patch.chdir(root)
        git(root, "tag", "first")
        yield root


@pytest.fixture(scope="module")
def made(project: Path) -> VersionOrigin:
    """That run, as MLflow has it."""
    commit, params = head_commit(project), load_params(project / "params.yaml")
    name, connected = params.register.name, mlflow_client(project)
    run = begin_mlflow_run(project, params, "a run")
    connected.create_registered_model(name)
    number = str(connected.create_model_version(name, "nowhere", run.id, tags={"git.snapshot": commit}).version)
    connected.set_registered_model_alias(name, "champion", number)
    run.set_tags({"git.commit": commit, "git.clean": True, "git.snapshot": commit, "tunesmith.version": number})
    git(project, "commit", "--quiet", "--allow-empty", "-m", "second")
    return VersionOrigin(run.id, commit, ModelVersion(name, number))


def test_a_model_is_called_by_many_names(project: Path, made: VersionOrigin) -> None:
    """By its version, by an alias, by its run in full or in part, and by the commit that it was made from."""
    name, commit = made.version.name, made.commit
    for what in (
        "1",
        f"{name}/1",
        f"{name}@champion",
        "@champion",
        made.run_id,
        made.run_id[:8],
        commit,
        commit[:10],
        "first",
    ):
        assert resolve_target(project, what) == ReproductionTarget(commit, made), what


def test_a_commit_without_a_run_is_taken_as_it_is(project: Path, made: VersionOrigin) -> None:
    """Nothing can then be told to MLflow."""
    assert made.commit != head_commit(project)
    assert resolve_target(project, "HEAD") == ReproductionTarget(head_commit(project), None)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("what", ["999", "nobody/1", "nobody@champion", "abcdefab", "no such branch", "--all"])
def test_what_is_called_by_no_name_is_a_problem(project: Path, what: str) -> None:
    """One line, with what would have been one."""
    with pytest.raises(UserError) as told:
        resolve_target(project, what)
    assert str(told.value) == (
        f"{what}: nothing is called so; expected a commit, a run of MLflow or the beginning of its id, "
        "or a version: 3, NAME/3 or NAME@champion"
    )


def test_a_name_of_two_things_is_refused(project: Path, made: VersionOrigin) -> None:
    """Both are named."""
    git(project, "branch", made.run_id[:6], "HEAD")
    with pytest.raises(UserError) as told:
        resolve_target(project, made.run_id[:6])
    git(project, "branch", "--delete", "--force", made.run_id[:6])
    assert str(told.value) == (
        f"{made.run_id[:6]}: more than one thing is called so; got run {made.run_id}, commit {head_commit(project)}; "
        "write more of the one meant"
    )


def test_a_state_that_is_not_here_is_a_problem(project: Path, made: VersionOrigin) -> None:
    """With where it may be had, or that it was never kept."""
    connected, name = mlflow_client(project), made.version.name
    fetch = "fetch it from where the run was made: `git fetch REMOTE 'refs/tunesmith/*:refs/tunesmith/*'`"
    for commit, words in (
        ("0" * 40, f"its state {'0' * 12} is not in this repository; {fetch}"),
        ("", "the state that it was made from is not recorded; name the run that made it"),
    ):
        tags = {"git.snapshot": commit} if commit else {}
        number = connected.create_model_version(name, "nowhere", made.run_id, tags=tags).version
        with pytest.raises(UserError) as told:
            resolve_target(project, str(number))
        assert str(told.value) == f"{name} version {number}: {words}"


def test_how_it_ended_is_told_to_run_and_version(project: Path, made: VersionOrigin) -> None:
    """Under the same tags."""
    tag_origin(project, made, {"tunesmith.reproduced": "identical"})
    version = mlflow_client(project).get_model_version(made.version.name, made.version.number)
    run = mlflow_client(project).get_run(made.run_id)
    assert version.tags["tunesmith.reproduced"] == run.data.tags["tunesmith.reproduced"] == "identical"


def test_a_champion_that_nobody_became_is_a_problem(project: Path) -> None:
    """One line: what is missing, and what makes it. MLflow has no such alias, and the file no line."""
    git(project, "checkout", "--quiet", "--detach")
    text = (project / "params.yaml").read_text(encoding="utf-8")
    (project / "params.yaml").write_text(text.replace("quillmoor-triage", "newborn"), encoding="utf-8")
    with pytest.raises(UserError) as told:
        resolve_target(project, "@champion")
    (project / "params.yaml").write_text(text, encoding="utf-8")
    assert str(told.value) == (
        "newborn@champion: nobody was ever promoted; expected a line of newborn in data/promotions.jsonl; "
        "`tunesmith run` makes the first champion; commit that file and dvc.lock"
    )


@pytest.mark.slow
def test_a_fresh_clone_knows_the_champion_without_mlflow(tmp_path: Path) -> None:
    """By either name: the commit whose dvc.lock holds the release of the last champion, also after a rollback."""
    with crowned(tmp_path) as found:
        clone = found.clone("clone")
        assert [resolve_target(clone, what) for what in ("@champion", f"{NAME}@champion")] == [
            ReproductionTarget(found.commits[1], None)
        ] * 2
        move = Promotion(NAME, found.digests[0], found.digests[1], how="rollback", why="worse", state=found.states[0])
        append_promotion(clone, move)
        assert resolve_target(clone, "@champion") == ReproductionTarget(found.commits[0], None)
        assert resolve_target(found.root, "@champion") == ReproductionTarget(found.states[1], None)
