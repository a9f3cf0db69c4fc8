"""The structure of a checkout in numbers: what lies where, what depends on what, and what is named twice.

`make map` prints them for the working tree; `make map REV=fd25e76` for any commit, beside it. Imports and definitions
are read as text by `ast`; nothing of the project is run.
"""

import ast
import io
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.params import read_yaml

FRAME = {"runner", "stage", "params", "errors", "problem", "process"}
"""Modules that stand round every stage under their names of today and of before; no stage owns them."""
TAG = re.compile(
    r"</?(?:a|b|code|details|div|figure|g|h[1-6]|html|img|li|line|meta|p|path|rect|section|span|style|summary|svg|table|td|text|th|title|tr|ul)\b[^\n]*?>"
)
"""An HTML or SVG tag."""
DEFINED_OFTEN = {"run", "main", "log"}
"""Names that every stage or tool has, each with one meaning: what does its work, what starts it, its logger."""


@dataclass(frozen=True)
class Structure:
    """What `measure_structure` found in a checkout."""

    top_modules: Mapping[str, int]
    stray_modules: Mapping[str, list[str]]
    code_dependencies: int
    repeated_names: Mapping[str, list[str]]
    html_lines: int
    function_lengths: list[int]


def parse_modules(root: Path, folder: str) -> dict[str, ast.Module]:
    """Parse every module of a package, by its dotted name; a package itself carries its own name."""
    trees = {}
    for path in sorted((root / folder).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def imports_of(tree: ast.Module, modules: Mapping[str, ast.Module]) -> set[str]:
    """Names of the given modules that a module imports, wherever in it."""
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            named |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
    return named & set(modules)


def stray_modules(root: Path) -> dict[str, list[str]]:
    """List, by stage, the modules of pipeline/ that only this stage reaches and that lie outside its package."""
    modules = parse_modules(root, "pipeline")
    graph = {name: imports_of(tree, modules) for name, tree in modules.items()}
    stages = list(read_yaml(root / "dvc.yaml")["stages"])
    homes = {stage: {name for name in modules if re.match(rf"pipeline\.{stage}(\.|$)", name)} for stage in stages}
    reached = {stage: reach(graph, home) for stage, home in homes.items()}
    above = [imports_of(tree, modules) for tree in parse_modules(root, "flows").values()]
    others = {
        stage: set().union(*(reached[other] for other in stages if other != stage), *tools(graph, homes), *above)
        for stage in stages
    }
    packages = {name for name in modules if any(other.startswith(f"{name}.") for other in modules)}
    return {
        stage: sorted(
            name
            for name in reached[stage] - homes[stage] - others[stage] - packages
            if name.split(".")[1:2] and name.split(".")[1] not in FRAME
        )
        for stage in stages
    }


def tools(graph: Mapping[str, set[str]], homes: Mapping[str, set[str]]) -> Iterator[set[str]]:
    """Give, for each module that no stage reaches, what it imports itself."""
    of_stages = set().union(*(reach(graph, home) for home in homes.values()))
    for name, imported in graph.items():
        if name not in of_stages:
            yield imported


def reach(graph: Mapping[str, set[str]], start: set[str]) -> set[str]:
    """The modules that these import, through others too, and themselves."""
    seen, waiting = set[str](), set(start)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= graph[name] - seen
    return seen


def defined_in(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines at its top level: functions, classes, constants and aliases."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def repeated_names(root: Path) -> dict[str, list[str]]:
    """List the top-level names that more than one module of pipeline/ and flows/ defines, with those modules."""
    homes = defaultdict(list)
    for folder in ("pipeline", "flows"):
        for module, tree in parse_modules(root, folder).items():
            for name in sorted(set(defined_in(tree)) - DEFINED_OFTEN):
                homes[name].append(module)
    return {name: modules for name, modules in sorted(homes.items()) if len(modules) > 1 and name[:2] != "__"}


def html_lines(root: Path) -> int:
    """Count the lines of code that string literals with HTML or SVG tags cover, in pipeline/ and flows/."""
    count = 0
    for folder in ("pipeline", "flows"):
        for tree in parse_modules(root, folder).values():
            lines: set[int] = set()
            for node in ast.walk(tree):
                texts = [node] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
                for text in texts:
                    if TAG.search(str(text.value)):
                        lines |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
            count += len(lines)
    return count


def function_lengths(root: Path) -> list[int]:
    """Lines of each function of pipeline/ and flows/, without its decorators."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for folder in ("pipeline", "flows")
        for tree in parse_modules(root, folder).values()
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    ]


def measure_structure(root: Path) -> Structure:
    """Measure a checkout."""
    dvc = read_yaml(root / "dvc.yaml")["stages"]
    deps = [dep for stage in dvc.values() for dep in stage["deps"]]
    return Structure(
        {
            folder: len([p for p in (root / folder).glob("*.py") if p.stem[:2] != "__"])
            for folder in ("pipeline", "flows")
        },
        stray_modules(root),
        sum(dep.startswith("pipeline/") for dep in deps),
        repeated_names(root),
        html_lines(root),
        function_lengths(root),
    )


def unpack_commit(rev: str, into: Path) -> None:
    """Write the files of a commit into a folder."""
    done = subprocess.run(["git", "archive", rev], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")


def lines_of(found: Structure) -> Iterator[str]:
    """Say the numbers, a line each."""
    lengths = sorted(found.function_lengths)
    p90 = lengths[int(0.9 * (len(lengths) - 1))]
    strays = sum(map(len, found.stray_modules.values()))
    yield f"modules at the top of pipeline/ and flows/: {found.top_modules['pipeline']}, {found.top_modules['flows']}"
    yield f"modules of one stage outside its package: {strays}"
    yield f"code dependencies in dvc.yaml: {found.code_dependencies}"
    yield f"names defined in more than one module: {len(found.repeated_names)}"
    yield f"lines of HTML in Python strings: {found.html_lines}"
    yield f"lines of a function, median / p90 / longest: {statistics.median(lengths):g} / {p90} / {lengths[-1]}"


def main(revs: list[str]) -> None:
    """Print the structure of commits, then that of the working tree."""
    for rev in revs:
        with tempfile.TemporaryDirectory() as folder:
            unpack_commit(rev, Path(folder))
            print(f"{rev}:")  # noqa: T201
            print(*(f"  {line}" for line in lines_of(measure_structure(Path(folder)))), sep="\n")  # noqa: T201
    found = measure_structure(Path())
    print("working tree:")  # noqa: T201
    print(*(f"  {line}" for line in lines_of(found)), sep="\n")  # noqa: T201
    for name, modules in found.repeated_names.items():
        print(f"    {name}: {', '.join(modules)}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
