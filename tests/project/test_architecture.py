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

from flows.cli.main import app
from pipeline.params import read_yaml
from tests.support.paths import PROJECT

STAGES = ["ingest", "validate", "tokenize", "baselines", "finetune", "evaluate", "register"]
FRAME = {"runner", "params", "errors", "process", "arms", "arrays"}
"""What stands round every stage and changes no byte of a result. Params reach DVC value by value, through `params:`,
so that a new rule for one section does not make every stage stale; the other three start, stop and speak."""
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
        "pipeline/validate/drift.py",
        "pipeline/stats/",
        "pipeline/evaluate/forgetting.py",
        "pipeline/register/power.py",
    ),
    "sacrebleu": "pipeline/metrics/text.py",
    "jsonschema": "pipeline/metrics/rules.py",
    "matplotlib": "pipeline/evaluate/plots.py",
}
BROUGHT = {
    "numpy": "torch, pandas and scipy are built on it, and speak it with us",
    "httpx": "huggingface_hub raises its errors",
    "huggingface_hub": "transformers loads every model through it",
    "referencing": "jsonschema is told through it to fetch nothing",
    "jinja2": "transformers renders every chat template with it",
    "threadpoolctl": "scikit-learn counts its threads by it",
}
"""Imported, yet not asked for by name in pyproject."""
THE_TOOL_THAT_REPEATS_STAGES = "learning_curve"
"""A learning curve trains and answers by the code of the stages: by any other it would measure something else."""
FROM_PIPELINE = {
    "params", "arms", "errors", "process", "pairs", "files", "champion", "hashing",
    "holdout.prompts", "holdout.scored_prompts",
    "holdout.reuse",
}  # fmt: skip


def rooms(*folders: str) -> list[Path]:
    """Every module of these packages, named from the project's folder."""
    return sorted(path.relative_to(PROJECT) for name in folders for path in (PROJECT / name).rglob("*.py"))


def tree_of(room: Path) -> ast.Module:
    return ast.parse((PROJECT / room).read_text(encoding="utf-8"))


def imports(room: Path) -> set[str]:
    """Full names of all that a module imports, wherever in it: `from a import b` gives `a` and `a.b`."""
    found = set()
    for node in ast.walk(tree_of(room)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{room}: a relative import hides where its arrow points"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


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
    found, waiting = set(), own(stage)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= {other for other in neighbours(path_of(name)) if package(other) not in FRAME} - found
    return found


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
def test_what_one_stage_alone_uses_lies_in_its_package(stage: str) -> None:
    """Every shared module that a stage reaches is reached by another stage, or by a tool or a flow."""
    others = set().union(*(behind(other) for other in STAGES if other != stage))
    tools = set().union(*(neighbours(room) for tool in TOOLS for room in rooms(f"pipeline/{tool}")))
    flows = set().union(*(neighbours(room) for room in rooms("flows")))
    above = {name for room in rooms("pipeline") if len(room.parts) == 2 for name in neighbours(room)}
    assert behind(stage) - own(stage) - others - tools - flows - above == set()


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


def test_every_package_has_its_tests() -> None:
    """tests/<package>/ is there for each package of pipeline/ and flows/, and each file in it is named for a module."""
    packages = {room.parts[-2]: room.parent for room in rooms("pipeline", "flows") if len(room.parts) > 2}
    assert [name for name in packages if not list((PROJECT / "tests" / name).glob("test_*.py"))] == []


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
