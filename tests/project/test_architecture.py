"""The rooms agree: one name for one thing, arrows one way, one library in one room, and the pages tell the truth."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from bench.structure import imported_names, reach
from flows.cli.main import app
from pipeline.params import read_yaml
from tests.support.paths import PROJECT

STAGES = ["ingest", "validate", "tokenize", "baselines", "finetune", "evaluate", "register"]
FRAME = {"runner", "params", "errors", "process", "arrays"}
"""What stands round every stage and changes no byte of a result. Params reach DVC value by value, through `params:`,
so that a new rule for one section does not make every stage stale; arrays are types; the others start, stop, speak."""
TOOLS = {"learning_curve", "estimate", "data_diff"}
"""Packages above the stages: each is started as a process, and none is a stage."""
FLOW = "retrain"
"""A section that no stage reads, named for the flow that does: what it says changes no result, only what is advised."""
DVC = read_yaml(PROJECT / "dvc.yaml")["stages"]
ONE_ROOM: dict[str, str | tuple[str, ...]] = {
    "prefect": ("flows/run/flow.py", "flows/service/deploy.py"),  # the flow of a run, and the one that workers start
    "mlflow": "flows/tracking/",
    "great_expectations": "pipeline/validate/expectations.py",
    "bm25s": "pipeline/baselines/bm25.py",
    "ftfy": "pipeline/validate/columns.py",
    "openai": "pipeline/baselines/hosted.py",
    "peft": "pipeline/model/adapters.py",
    "phonenumbers": "pipeline/validate/pii.py",
    "rensa": "pipeline/dedup/minhash.py",
    "stdnum": "pipeline/validate/pii.py",
    "py3langid": "pipeline/validate/language_id.py",
    "sklearn": "pipeline/baselines/",
    "threadpoolctl": "pipeline/baselines/tfidf.py",
    # Distances of counts, and the tests that arms are compared by.
    "scipy": (
        "pipeline/validate/drift_measure.py",
        "pipeline/stats/",
        "pipeline/evaluate/forgetting.py",
        "pipeline/register/power.py",
    ),
    "sacrebleu": "pipeline/metrics/text.py",
    "jsonschema": "pipeline/metrics/rules.py",
    "jinja2": ("pipeline/html/render.py", "pipeline/model/chat_template.py"),
    "markupsafe": ("pipeline/html/render.py", "pipeline/register/report/provenance.py"),
}
BROUGHT = {
    "numpy": "torch, pandas and scipy are built on it, and speak it with us",
    "httpx": "huggingface_hub raises its errors",
    "huggingface_hub": "transformers loads every model through it",
    "referencing": "jsonschema is told through it to fetch nothing",
    "threadpoolctl": "scikit-learn counts its threads by it",
}
"""Imported, yet not asked for by name in pyproject."""
THE_TOOL_THAT_REPEATS_STAGES = "learning_curve"
"""A learning curve trains and answers by the code of the stages: by any other it would measure something else."""
FROM_PIPELINE = {
    "params", "arms", "artifacts", "verdicts", "errors", "process", "pairs", "files", "champion", "hashing",
    "holdout.prompts", "holdout.scored_prompts",
    "holdout.reuse",
}  # fmt: skip


TESTED_AS_A_WHOLE = {
    "params": "one file of laws on all sections",
    "baselines": "a baseline is seen through the protocol that all have: test_baselines and test_stage",
    "report": "sections stand on a page: test_page renders them all, and traces every number",
    "tracking": "what MLflow shows of a run is seen by asking MLflow: test_runs, test_flush, test_promote",
    "bisect": "its rooms are steps of one command: test_bisect",
    "reproduce": "its rooms are steps of one command: test_comparison, test_target, e2e/test_reproduce",
}
"""Packages that are tested by what they do together."""
NO_TEST_OF_ITS_NAME = {
    "pipeline/arms": "names alone",
    "pipeline/arrays": "types alone",
    "pipeline/artifacts": "names alone",
    "pipeline/champion": "champion/test_store reads what the flow wrote, by it",
    "generation/label_trie": "test_generate",
    "generation/predictions": "baselines/test_stage writes and reads them",
    "stats/bootstrap": "metrics/test_metric",
    "finetune/callbacks": "is seen in a training only: test_trainer looks at its points, best epoch and where it stops",
    "finetune/packed_loss": "model/test_packed_attention",
    "finetune/sampler": "test_loss",
    "dedup/normalize": "test_minhash",
    "holdout/prompts": "test_scored_prompts",
    "validate/splits": "test_duplicates and test_stage",
    "flows/paths": "asks only where things are: every other test of flows/ goes through it",
    "review/data_diff": "data_diff/test_run runs it whole",
    "project/params_file": "test_new and run/test_overrides write by it",
    "cli/history": "commands of a line each: tests of what they call",
    "cli/learning_curve": "learning_curve/test_run runs the command",
    "cli/service": "commands of a line each: service/test_servers and service/test_watch",
    "run/flow": "e2e/test_run runs it whole",
    "run/run": "one line each for lock, plan, server and flow: e2e/test_run runs it whole",
    "vcs/dvc_lock": "test_snapshot",
    "vcs/git": "test_snapshot",
    "vcs/subprocesses": "test_dvc",
    "pipeline/verdicts": "words alone: the tests of card, comment, run and command read them",
}
OF_SEVERAL_ROOMS = {
    "baselines/test_baselines": "each baseline by itself",
    "model/test_model_families": "the template and the loss on many model families",
    "model/test_real_base_model": "what only the real base model can show",
    "params/test_params": "all sections",
    "project/test_architecture": "the laws of the project itself, as the others of test_structure's kind",
    "project/test_bench": "bench/",
    "project/test_docs": "README.md and docs/",
    "project/test_github_workflows": ".github/workflows/",
    "project/test_staleness": "dvc.yaml",
    "project/test_structure": "bench/structure.py",
    "register/test_forgetting_gate": "the gate's checks on what was forgotten",
    "tracking/test_recorded_marker": "the outbox's marker of what is recorded",
}


def home(room: Path) -> str:
    """The package of a room, whose tests lie in tests/ under that name."""
    return room.parts[-2]


def file_of_tests(room: Path) -> Path:
    """Where the test of a room's name would be."""
    return PROJECT / "tests" / home(room) / f"test_{room.name}"


def rooms(*folders: str) -> list[Path]:
    """Every module of these packages, named from the project's folder."""
    return sorted(path.relative_to(PROJECT) for name in folders for path in (PROJECT / name).rglob("*.py"))


def tree_of(room: Path) -> ast.Module:
    return ast.parse((PROJECT / room).read_text(encoding="utf-8"))


def imports(room: Path) -> set[str]:
    """Full names of all that a module imports, wherever in it: `from a import b` gives `a` and `a.b`."""
    tree = tree_of(room)
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert not relative, f"{room}: a relative import hides where its arrow points"
    return imported_names(tree)


def libraries(room: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(room)}


def named(room: Path) -> str:
    """A module of pipeline/ as it is imported: `pairs`, or `ingest.stage` in a package."""
    return ".".join(room.with_suffix("").parts[1:])


def package(name: str) -> str:
    """The package that a module of pipeline/ lies in: itself, if in none."""
    return name.partition(".")[0]


def neighbours(room: Path) -> set[str]:
    """Modules of pipeline/ that a module imports; a package's own page, which only says what it is, is none."""
    names = {named(path) for path in rooms("pipeline") if path.name != "__init__.py"}
    imported = {name.removeprefix("pipeline.") for name in imports(room) if name.startswith("pipeline.")}
    return {name for name in imported if name in names or name == "params"}


def path_of(name: str) -> Path:
    """The file of a module of pipeline/."""
    return Path("pipeline", *name.split(".")).with_suffix(".py")


def own(stage: str) -> set[str]:
    """The modules of a stage's package."""
    return {named(room) for room in rooms(f"pipeline/{stage}") if room.name != "__init__.py"}


def behind(stage: str) -> set[str]:
    """A stage's package and every module of pipeline/ that it imports, through others too, but for the frame."""
    names = [named(room) for room in rooms("pipeline") if room.name != "__init__.py"]
    graph = {name: {other for other in neighbours(path_of(name)) if package(other) not in FRAME} for name in names}
    return reach(graph, own(stage))


def covered(dep: str) -> set[str]:
    """The modules that a code dependency of dvc.yaml covers: those of a folder, or the one file."""
    room = Path(dep)
    if room.suffix:
        return {named(room)}
    return {named(path) for path in rooms(dep) if path.name != "__init__.py"}


def main_lambda(room: Path) -> ast.Lambda | None:
    """The function that a module hands to `runner.main`; None if it has no such line."""
    for node in ast.walk(tree_of(room)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "runner.main":
            assert isinstance(node.args[0], ast.Lambda)
            return node.args[0]
    return None


def drawn() -> dict[str, str]:
    """The tree in the README: each path with what is said of it."""
    block = re.search(
        r"^```tree\n(.*?)^```$", (PROJECT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert block, "README.md has no ```tree block"
    found, above = {}, []
    for line in block[1].splitlines():
        name, _, said = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        above = [*above[:depth], name]
        found["".join(above)] = said.strip()
    return found


def commands() -> list[str]:
    return sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_a_stage_has_one_name_in_every_room() -> None:
    """The stages of dvc.yaml, in order, are the packages with a runner.main line, the params and the data folders."""
    sections = list(read_yaml(PROJECT / "params.yaml"))
    ignored = re.findall(r"^/data/(\w+)/$", (PROJECT / ".gitignore").read_text(encoding="utf-8"), re.MULTILINE)
    started = {room.parts[1] for room in rooms("pipeline") if main_lambda(room)}
    assert list(DVC) == STAGES
    assert started == {*STAGES, THE_TOOL_THAT_REPEATS_STAGES}
    assert sections == ["model", "prompt", *STAGES, "prices", FLOW]
    assert ignored == STAGES
    assert {stage for stage in STAGES if not (PROJECT / "tests" / stage / "test_stage.py").exists()} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_is_told_the_truth(stage: str) -> None:
    """A stage's command is its package, its code deps all that it reaches and no more, its params all that it reads."""
    code = [dep for dep in DVC[stage]["deps"] if dep.startswith("pipeline/")]
    outs = [*DVC[stage]["outs"], *DVC[stage].get("metrics", [])]
    function = main_lambda(Path("pipeline", stage, "__main__.py"))
    assert function is not None
    read = re.findall(r"\bparams\.(\w+(?:\.\w+)*)", ast.unparse(function.body))
    assert DVC[stage]["cmd"] == f"python -m pipeline.{stage}"
    assert f"pipeline/{stage}" in code
    assert set().union(*map(covered, code)) == behind(stage)
    assert DVC[stage]["params"] == read
    assert {Path(out).parts[:2] for out in outs} == {("data", stage)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_only_what_stages_before_it_wrote(stage: str) -> None:
    """Every dep below data/ is an output of an earlier stage, or belongs to nobody's folder."""
    earlier = STAGES[: STAGES.index(stage)]
    written = {out for name in earlier for out in [*DVC[name]["outs"], *DVC[name].get("metrics", [])]}
    read = {dep for dep in DVC[stage]["deps"] if dep.startswith("data/")}
    assert (
        read
        - {
            "data/champion",
            "data/golden_tokens.jsonl",
            "data/scored_prompts",
            "data/holdout_uses",
            "data/learning_curve",
        }
        <= written
    )


@pytest.mark.parametrize("room", rooms("pipeline"), ids=str)
def test_the_pipeline_knows_only_its_work(room: Path) -> None:
    """No room of the pipeline imports an orchestrator, a tracker, flows, or a stage that is not its own."""
    assert not libraries(room) & {"prefect", "dvc", "mlflow", "flows"}
    above = len(room.parts) == 2 or room.parts[1] in TOOLS
    stages = {package(name) for name in neighbours(room)} & set(STAGES)
    assert above or stages <= {room.parts[1]}


@pytest.mark.parametrize("room", rooms("flows"), ids=str)
def test_flows_reach_the_pipeline_through_few_doors(room: Path) -> None:
    """Flows start stages as processes; they import what checks, names and reads, and only the served model predicts."""
    allowed = FROM_PIPELINE | ({"predict"} if room == Path("flows/tracking/pyfunc.py") else set())
    assert {name for name in neighbours(room) if package(name) != "params"} <= allowed
    assert "dvc" not in libraries(room)


@pytest.mark.parametrize(("library", "home"), ONE_ROOM.items())
def test_a_library_has_one_room(library: str, home: str | tuple[str, ...]) -> None:
    """A library is imported in its room, a module or a folder, and in no other."""
    knowing = [str(room) for room in rooms("flows", "pipeline") if library in libraries(room)]
    assert knowing
    assert [room for room in knowing if not room.startswith(home)] == []


def test_no_room_is_a_drawer() -> None:
    """No module has a name that says nothing of what is in it."""
    drawers = {"utils", "util", "common", "base", "helpers", "helper", "misc", "core", "shared"}
    named = {part.removesuffix(".py") for room in rooms("flows", "pipeline", "tests") for part in room.parts}
    assert not named & drawers


def test_every_room_has_a_test_of_its_name() -> None:
    """tests/<package>/test_<module>.py is there for each, but for those few that say why not, and they have none."""
    ours = {room for room in rooms("pipeline", "flows") if room.stem[:2] != "__"}
    single = {room for room in ours if home(room) not in TESTED_AS_A_WHOLE}
    missing = {f"{home(room)}/{room.stem}" for room in single if not file_of_tests(room).exists()}
    assert missing == set(NO_TEST_OF_ITS_NAME)
    assert [
        name for name in map(home, ours) if name != "flows" and not list((PROJECT / "tests" / name).glob("test_*.py"))
    ] == []


def test_every_test_of_a_package_is_named_for_a_room() -> None:
    """Who looks for what is tested finds it by its name; those that look at several rooms say at which."""
    homes = {home(room) for room in rooms("pipeline", "flows")}
    there = {path for name in homes for path in (PROJECT / "tests" / name).glob("test_*.py")}
    named_for = {file_of_tests(room) for room in rooms("pipeline", "flows")}
    assert {f"{path.parent.name}/{path.stem}" for path in there - named_for} == set(OF_SEVERAL_ROOMS)


def test_every_package_is_installed() -> None:
    """Setuptools finds a package by its __init__.py: one without would fail only where nothing is editable."""
    tool = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {room.parent for room in rooms("flows", "pipeline")}
    assert tool["packages"]["find"] == {"include": ["flows*", "pipeline*"]}
    assert tool["package-data"] == {"*": ["templates/*"]}  # beside the code that renders them
    templates = [path for path in (PROJECT / "pipeline").rglob("*.j2") if path.parent.name != "templates"]
    assert templates == []
    assert [str(folder) for folder in folders if not (PROJECT / folder / "__init__.py").exists()] == []


def test_the_tree_in_the_readme_is_the_tree() -> None:
    """The README names every package of flows/ and pipeline/, and nothing that is not there."""
    told = drawn()
    packages = {f"{room.parent}/" for room in rooms("flows", "pipeline")}
    assert not [name for name in told if not (PROJECT / name).exists()]
    assert packages - set(told) == set()
    assert [name for name in packages if not told[name]] == []


def direct() -> list[Requirement]:
    """What pyproject asks for, the development tools too."""
    project: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    return [Requirement(line) for line in asked]


def pins() -> dict[str, str]:
    """constraints.txt: one version for each package."""
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line.split("#")[0].split(";")[0].strip() for line in lines]
    return {canonicalize_name(name): number for name, _, number in (line.partition("==") for line in wanted if line)}


@pytest.mark.parametrize("requirement", direct(), ids=lambda requirement: requirement.name)
def test_every_direct_dependency_is_pinned_within_its_bounds(requirement: Requirement) -> None:
    """constraints.txt holds one version of it, and one that pyproject allows."""
    number = pins().get(canonicalize_name(requirement.name), "")
    assert number
    assert requirement.specifier.contains(number, prereleases=True)


def test_constraints_come_from_the_index_alone() -> None:
    """No pin names an address, and every line pins."""
    text = (PROJECT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert all(pins().values())


@pytest.mark.parametrize(("number", "allowed"), [("0.150.9", True), ("0.151.0", False), ("0.155.0", False)])
def test_fastapi_stays_below_what_prefect_cannot_start_with(number: str, *, allowed: bool) -> None:
    """Prefect accepts any fastapi, but its server does not start with a newer one: pyproject has to refuse it."""
    (fastapi,) = [requirement for requirement in direct() if requirement.name == "fastapi"]
    assert fastapi.specifier.contains(number) is allowed


def test_every_library_that_is_imported_is_asked_for() -> None:
    """Nothing is used that is there only because something else brought it, but for a few that say why."""
    used = set().union(*(libraries(room) for room in rooms("flows", "pipeline")))
    foreign = used - {"flows", "pipeline"} - sys.stdlib_module_names
    asked = {canonicalize_name(requirement.name) for requirement in direct()}
    packages = metadata.packages_distributions()
    brought = {name for name in foreign if not asked & {canonicalize_name(of) for of in packages[name]}}
    assert brought == set(BROUGHT)


@pytest.mark.parametrize("command", commands())
def test_every_help_shows_an_example(command: str) -> None:
    """The help of each command has an example that one can type."""
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert re.search(rf"^ *tunesmith {command}\b", re.sub(r"[│┃|]", " ", shown.output), re.MULTILINE)
