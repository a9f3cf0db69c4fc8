"""The Python environment of a past state: its pinned versions, installed in a virtual environment of their own."""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from flows.paths import state_dir
from pipeline.errors import UserError

PYPROJECT, CONSTRAINTS_FILE = "pyproject.toml", "constraints.txt"


def requirements(tree: Path) -> list[str]:
    """List what pyproject.toml asks for, without extras.

    Raises:
        UserError: If there is no such file.
    """
    if not (tree / PYPROJECT).exists():
        raise UserError(PYPROJECT, "is not in that state", do="leave out --env")
    project = tomllib.loads((tree / PYPROJECT).read_text(encoding="utf-8"))
    return list(project["project"]["dependencies"])


def pinned_versions(tree: Path) -> dict[str, str]:
    """Read the versions that constraints.txt names, of what pyproject.toml asks for, by canonical names."""
    wanted = {canonical_name(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]) for requirement in requirements(tree)}
    lines = (tree / CONSTRAINTS_FILE).read_text(encoding="utf-8").splitlines()
    pins = (line.partition("#")[0].partition(";")[0].strip().partition("==") for line in lines)
    return {canonical_name(name): number for name, _, number in pins if number and canonical_name(name) in wanted}


def canonical_name(name: str) -> str:
    """Give a package's name as all its spellings come to."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_interpreter(python: str) -> str:
    """Find an interpreter of the version that was recorded, as far as it is named by two numbers; else our own."""
    named = f"python{'.'.join(python.split('.')[:2])}"
    return shutil.which(named) or sys.executable


def install_commands(python: Path, tree: Path, wanted: Sequence[str]) -> list[str]:
    """Say how the packages are installed: what is asked for, and everything below it, in the pinned versions."""
    return [
        str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--constraint", str(tree / CONSTRAINTS_FILE), *wanted,
    ]  # fmt: skip


def build_environment(root: Path, tree: Path, python: str) -> str:
    """Build the environment of a state, unless it is there from an earlier time; give its interpreter.

    Args:
        root: The checkout, which keeps it.
        tree: The state's files.
        python: Version of Python that was recorded.

    Raises:
        UserError: With pip's own words, if the packages cannot be had.
    """
    wanted, maker = requirements(tree), find_interpreter(python)
    specification = "\n".join([maker, *wanted, (tree / CONSTRAINTS_FILE).read_text(encoding="utf-8")])
    folder = state_dir(root) / "environments" / hashlib.sha256(specification.encode()).hexdigest()[:16]
    made = folder / "bin" / "python"
    if (folder / "whole").exists():
        return str(made)
    shutil.rmtree(folder, ignore_errors=True)
    for command in ([maker, "-m", "venv", str(folder)], install_commands(made, tree, wanted)):
        process = subprocess.run(command, check=False, capture_output=True, text=True)
        if process.returncode:
            output = (process.stderr.strip() or process.stdout.strip() or "failed without a word").splitlines()
            words = next((line for line in output if line.startswith("ERROR: ")), output[-1]).removeprefix("ERROR: ")
            raise UserError("--env", words, do="leave it out to use the packages that are here")
    (folder / "whole").touch()
    return str(made)
