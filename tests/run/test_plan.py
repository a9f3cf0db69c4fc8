"""Laws of deciding what a run is to do before anything is started."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows.run.plan import RunPlan, make_plan, nothing_to_do
from flows.tracking.outbox import mark_recorded
from pipeline.errors import UserError
from tests.support.repositories import PROJECT, apart, git, make_checkout

DVC_YAML = """
stages:
  ingest:
    cmd: cp in.txt one.txt
    deps: [in.txt]
    outs: [one.txt]
  validate:
    cmd: cp one.txt two.txt
    deps: [one.txt]
    outs: [two.txt]
  register:
    cmd: cp two.txt three.txt
    deps: [two.txt]
    outs: [three.txt]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of which no stage was ever run; planning leaves it as it is."""
    place = tmp_path_factory.mktemp("plan")
    params = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    files = {"in.txt": "in\n", "dvc.yaml": DVC_YAML, "params.yaml": params, ".gitignore": "/.tunesmith/\n"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart(place).items():
            patch.setenv(name, value)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield make_checkout(place / "project", files)


@pytest.mark.parametrize(
    ("until", "stages", "complete"),
    [
        (None, ("ingest", "validate", "register"), True),
        ("register", ("ingest", "validate", "register"), True),
        ("validate", ("ingest", "validate"), False),
        ("ingest", ("ingest",), False),
    ],
)
def test_a_run_goes_to_the_last_stage_or_to_the_one_named(
    root: Path, until: str | None, stages: tuple[str, ...], *, complete: bool
) -> None:
    """Stages come in the file's order, none behind the one named is looked at, and only the whole makes a release."""
    plan = make_plan(root, until, None)
    assert (plan.stages, plan.complete) == (stages, complete)
    assert plan.stale == set(stages)
    assert not nothing_to_do(plan)


@pytest.mark.parametrize(("until", "force"), [("trian", None), (None, "trian")])
def test_an_unknown_stage_is_refused_with_the_known_ones(root: Path, until: str | None, force: str | None) -> None:
    """A slip of the pen ends the run before it begins."""
    with pytest.raises(UserError) as refused:
        make_plan(root, until, force)
    assert str(refused.value) == "trian: no such stage; expected ingest, validate, register; name one of them"


def test_wrong_params_are_found_before_anything_else(root: Path, tmp_path: Path) -> None:
    """They are checked as a whole, even where there is neither a commit nor a stage."""
    text = (root / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("rank: 16", "rank: 0"), encoding="utf-8")
    with pytest.raises(UserError) as refused:
        make_plan(tmp_path, None, None)
    assert str(refused.value).startswith("params.yaml: one value is wrong:\n  finetune.rank: ")


def test_knowledge_outside_the_project_is_refused(root: Path, tmp_path: Path) -> None:
    """A baseline may look things up only where git or DVC keeps them."""
    copy = shutil.copytree(root, tmp_path / "copy", symlinks=True)
    text = (copy / "params.yaml").read_text(encoding="utf-8")
    outside = text.replace("rag_folder: data/knowledge", "rag_folder: ../wiki")
    (copy / "params.yaml").write_text(outside, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        make_plan(copy, None, None)
    assert str(caught.value) == (
        "params.yaml: baselines.rag_folder: lies outside the project, where neither git nor DVC keeps it; got ../wiki; put "  # noqa: E501
        "the files into data/knowledge"
    )


@pytest.mark.parametrize("folder", ["/somewhere/else", "../beside"])
def test_data_outside_the_project_is_refused(root: Path, tmp_path: Path, folder: str) -> None:
    """Neither git nor DVC keeps it, so no run on it could be made again."""
    copy = shutil.copytree(root, tmp_path / "copy", symlinks=True)
    text = (copy / "params.yaml").read_text(encoding="utf-8")
    (copy / "params.yaml").write_text(text.replace("folder: data/demo", f"folder: {folder}"), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        make_plan(copy, None, None)
    assert str(caught.value) == (
        "params.yaml: ingest.folder: lies outside the project, where neither git nor DVC keeps it; "
        f"got {folder}; put the files into data/raw"
    )


@pytest.mark.parametrize(
    ("rule", "file"), [("python: 'brand:polite'", "brand.py"), ("json_schema: decision.json", "decision.json")]
)
def test_a_house_rule_whose_file_is_not_there_is_refused(root: Path, tmp_path: Path, rule: str, file: str) -> None:
    """Before a training whose answers it is to score; once the file is there, the plan is made."""
    copy = shutil.copytree(root, tmp_path / "copy", symlinks=True)
    text = (copy / "params.yaml").read_text(encoding="utf-8")
    wanted = text.replace("  rules: []", f"  rules: [{{name: own, {rule}}}]")
    (copy / "params.yaml").write_text(wanted, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        make_plan(copy, None, None)
    assert str(caught.value) == (
        f"evaluate.rules: own: no such file; expected rules/{file}; write it; or mend the name"
    )
    (copy / "rules").mkdir()
    (copy / "rules" / file).touch()
    assert make_plan(copy, None, None).params.evaluate.rules[0].files == [file]


def test_a_project_without_a_commit_cannot_be_run(root: Path, tmp_path: Path) -> None:
    """Each run is kept as a state of a repository, so there has to be one."""
    (tmp_path / "params.yaml").write_bytes((root / "params.yaml").read_bytes())
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UserError, match="has no git commit"):
        make_plan(tmp_path, None, None)


def test_planning_starts_nothing(root: Path) -> None:
    """No stage runs, no folder of the run is made, no tracked file changes."""
    plan = make_plan(root, None, "validate")
    assert not plan.folder.exists()
    assert git(root, "status", "--porcelain") == ""
    assert not (root / "one.txt").exists()


def test_there_is_nothing_to_do_when_all_is_fresh_and_recorded(root: Path) -> None:
    """A stale or a forced stage is something to do; so is a release that MLflow does not show yet."""
    whole: RunPlan = replace(make_plan(root, None, None), stale=frozenset())
    half = replace(make_plan(root, "validate", None), stale=frozenset())
    assert [nothing_to_do(whole), nothing_to_do(half)] == [False, True]
    (root / "data" / "register").mkdir(parents=True)
    (root / "data" / "register" / "release.json").write_text("{}", encoding="utf-8")
    (root / ".tunesmith" / "mlflow.db").touch()
    mark_recorded(root)
    assert nothing_to_do(whole)
    assert not nothing_to_do(replace(whole, force="ingest"))
    assert not nothing_to_do(replace(whole, stale=frozenset({"ingest"})))
    (root / "data" / "register" / "release.json").unlink()
