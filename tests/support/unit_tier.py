"""Which test files are quick: those that reach no torch, no tool and no process, by imports at the top of modules."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.paths import PROJECT

SLOW_PACKAGES = {
    "torch", "transformers", "peft", "accelerate", "sentence_transformers",
    "great_expectations", "mlflow", "prefect", "subprocess",
}  # fmt: skip
"""Packages that are torch or import it, the tools, and what starts processes."""
MODEL_FIXTURES = {"tokenizer", "base", "rows", "values", "make_params"}
"""Fixtures of conftest that build the tiny model."""


@cache
def top_imports(path: Path) -> frozenset[str]:
    """Full names of what a module imports when it is imported: not what its functions import."""
    return frozenset(imported_at_top(ast.parse(path.read_text(encoding="utf-8")).body))


def imported_at_top(statements: list[ast.stmt]) -> Iterator[str]:
    """Names that statements import, also behind `if` and `try`, but not those for types alone."""
    for node in statements:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Try) or (isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test)):
            yield from imported_at_top(node.body)


def files_of(name: str) -> list[Path]:
    """The files that Python reads for a module of ours: its own and those of the packages it lies in."""
    parts = name.split(".")
    if parts[0] not in {"pipeline", "flows", "bench", "tests"}:
        return []
    packages = [PROJECT.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    return [path for path in (*packages, PROJECT.joinpath(*parts).with_suffix(".py")) if path.exists()]


@cache
def is_slow_to_import(test_file: Path) -> bool:
    """Say whether importing a test file imports torch, a tool, or what starts processes."""
    seen, waiting = set[Path](), {test_file}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        names = top_imports(path)
        if SLOW_PACKAGES & {name.partition(".")[0] for name in names}:
            return True
        waiting |= {file for name in names for file in files_of(name)} - seen
    return False
