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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.params import read_yaml

FRAME = {"runner", "stage", "params", "errors", "problem", "process"}
"""Modules that stand round every stage under their names of today and of before; no stage owns them."""
TAG = re.compile(
    r"(?<!\(\?P)</?(?:a|b|code|details|div|figure|g|h[1-6]|html|img|li|line|meta|p|path|rect|section|span|style|summary|svg|table|td|text|th|title|tr|ul)\b[^\n]*?>"
)
"""An HTML or SVG tag; not a named group of a regular expression, which looks like one."""
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
"""What may have a docstring."""
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


Modules = Mapping[str, ast.Module]
"""Modules by their dotted names; a package itself carries its own name."""


def parse_modules(root: Path, folder: str) -> dict[str, ast.Module]:
    """Parse every module of a package."""
    trees = {}
    for path in sorted((root / folder).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def imported_names(tree: ast.Module) -> set[str]:
    """Full names of all that a module imports, wherever in it: `from a import b` gives `a` and `a.b`."""
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            named |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
    return named


def reach(graph: Mapping[str, set[str]], start: set[str]) -> set[str]:
    """The modules that these import, through others too, and themselves."""
    seen, waiting = set[str](), set(start)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= graph[name] - seen
    return seen


def stray_modules(pipeline: Modules, flows: Modules, stages: Sequence[str]) -> dict[str, list[str]]:
    """List, by stage, the modules of pipeline/ that only this stage reaches and that lie outside its package."""
    graph = {name: imported_names(tree) & set(pipeline) for name, tree in pipeline.items()}
    homes = {stage: {name for name in pipeline if re.match(rf"pipeline\.{stage}(\.|$)", name)} for stage in stages}
    reached = {stage: reach(graph, home) for stage, home in homes.items()}
    of_stages = set().union(*reached.values())
    above = [imported for name, imported in graph.items() if name not in of_stages]  # of tools, which no stage reaches
    used = set().union(*above, *(imported_names(tree) for tree in flows.values()))
    packages = {name for name in pipeline if any(other.startswith(f"{name}.") for other in pipeline)}
    shared = {stage: used.union(packages, *(reached[other] for other in stages if other != stage)) for stage in stages}
    return {
        stage: sorted(name for name in reached[stage] - homes[stage] - shared[stage] if name.split(".")[1] not in FRAME)
        for stage in stages
    }


def defined_in(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines at its top level: functions, classes, constants and aliases."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def repeated_names(modules: Modules) -> dict[str, list[str]]:
    """List the top-level names that more than one module defines, with those modules."""
    homes = defaultdict(list)
    for module, tree in modules.items():
        for name in sorted(set(defined_in(tree)) - DEFINED_OFTEN):
            homes[name].append(module)
    return {name: defining for name, defining in sorted(homes.items()) if len(defining) > 1 and name[:2] != "__"}


def html_lines(modules: Modules) -> int:
    """Count the lines of code that string literals with HTML or SVG tags cover."""
    return sum(len(set(tagged_lines(tree))) for tree in modules.values())


def tagged_lines(tree: ast.Module) -> Iterator[int]:
    """The numbers of these lines in a module, some more than once; a docstring that speaks of a tag writes none."""
    documented = (node for node in ast.walk(tree) if isinstance(node, DOCUMENTED) and ast.get_docstring(node))
    docstrings = {node.body[0].value for node in documented if isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in docstrings
            and TAG.search(node.value)
        ):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def function_lengths(modules: Modules) -> list[int]:
    """Lines of each function, without its decorators."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for tree in modules.values() for node in ast.walk(tree) if isinstance(node, kinds))
    return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes]


def measure_structure(root: Path) -> Structure:
    """Measure a checkout."""
    dvc = read_yaml(root / "dvc.yaml")["stages"]
    pipeline, flows = (parse_modules(root, folder) for folder in ("pipeline", "flows"))
    modules = {**pipeline, **flows}
    return Structure(
        {
            folder: len([p for p in (root / folder).glob("*.py") if p.stem[:2] != "__"])
            for folder in ("pipeline", "flows")
        },
        stray_modules(pipeline, flows, list(dvc)),
        sum(dep.startswith("pipeline/") for stage in dvc.values() for dep in stage["deps"]),
        repeated_names(modules),
        html_lines(modules),
        function_lengths(modules),
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
            show(rev, measure_structure(Path(folder)))
    show("working tree", found := measure_structure(Path()))
    for name, modules in found.repeated_names.items():
        sys.stdout.write(f"    {name}: {', '.join(modules)}\n")


def show(title: str, found: Structure) -> None:
    """Print the numbers under a title."""
    sys.stdout.write("\n  ".join([f"{title}:", *lines_of(found)]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
