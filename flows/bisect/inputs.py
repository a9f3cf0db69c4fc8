"""What the answers of a commit's model depend on, read from git alone, and whether its dvc.lock tells their outcome."""

import hashlib
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from flows.paths import DVC_LOCK, DVC_YAML, PARAMS_YAML
from flows.reproduce.differences import flatten_values, short_value
from flows.vcs.dvc_lock import dvc_folder_md5
from flows.vcs.git import run_git
from flows.vcs.input_guard import PARAM_REFERENCE, lookup_param
from flows.vcs.snapshot import CHAMPION_PATH
from flows.vcs.states import PREDICTIONS_PATH
from pipeline.errors import UserError
from pipeline.params import read_yaml

LAST_STAGE = "evaluate"
METRICS_FILE = "data/evaluate/metrics.json"
WITHOUT_CHAMPION = {str(CHAMPION_PATH): None}


@dataclass(frozen=True)
class CommitInputs:
    """What the stages up to evaluate read at a commit.

    The champion is none of it: it has an arm of its own, and otherwise the checks only hold the data against its.

    Args:
        commit: The commit.
        files: MD5 of each file that they read and do not write, by path; of what DVC tracks, that in its `.dvc` file.
        params: Each value that they read, by its dotted name.
        stages: What dvc.yaml says of each of them.
        predictions_md5: MD5 of the answers, if the dvc.lock of the commit has those of these very inputs.
    """

    commit: str
    files: Mapping[str, str]
    params: Mapping[str, Any]
    stages: Mapping[str, Any]
    predictions_md5: str | None

    def same_inputs(self, other: "CommitInputs") -> bool:
        """Say whether the two make the same model by the same means."""
        return (self.files, self.params, self.stages) == (other.files, other.params, other.stages)


def read_inputs(root: Path, commit: str) -> CommitInputs:
    """Read what a commit's model depends on; where its YAML cannot be read, that is the files of YAML themselves."""
    tree = list_tree(root, commit)
    try:
        params = read_yaml_blob(root, tree.get(PARAMS_YAML))
        stages = stages_to_evaluate(read_yaml_blob(root, tree.get(DVC_YAML)), params)
        values = {name: lookup_param(params, name) for stage in stages.values() for name in stage["params"]}
        files = dependency_files(root, tree, {dep for stage in stages.values() for dep in stage["deps"]})
    except (UserError, KeyError, TypeError, AttributeError):  # evaluating it reports what is wrong
        return CommitInputs(
            commit, {name: tree[name] for name in (DVC_YAML, PARAMS_YAML) if name in tree}, {}, {}, None
        )
    return CommitInputs(commit, files, flatten_values(values), stages, None)


def with_recorded_outcome(root: Path, inputs: CommitInputs) -> CommitInputs:
    """Add what the commit's dvc.lock tells of the outcome."""
    tree = list_tree(root, inputs.commit)
    if DVC_LOCK not in tree or not inputs.stages:
        return inputs
    try:
        lock = read_yaml_blob(root, tree[DVC_LOCK])["stages"]
        return replace(inputs, predictions_md5=recorded_outcome(inputs, read_yaml_blob(root, tree[PARAMS_YAML]), lock))
    except (UserError, KeyError, TypeError, AttributeError):  # a lock file that tells nothing
        return inputs


def list_tree(root: Path, commit: str) -> dict[str, str]:
    """List the files of a commit: path and git's object. What lies in a submodule is none of its files."""
    lines = run_git(root, "ls-tree", "-r", "-z", commit).split("\0")
    entries = ((entry.split(), path) for entry, _, path in (line.partition("\t") for line in lines if line))
    return {path: name for (_, kind, name), path in entries if kind == "blob"}


def read_blob(root: Path, name: str) -> bytes:
    """Read an object of git."""
    return subprocess.run(["git", "cat-file", "blob", name], cwd=root, check=True, capture_output=True).stdout


@cache
def blob_md5(root: Path, name: str) -> str:
    """Hash an object of git as DVC does."""
    return hashlib.md5(read_blob(root, name), usedforsecurity=False).hexdigest()


@cache
def read_yaml_blob(root: Path, name: str | None) -> Any:
    """Read an object of git as YAML; an empty section for none."""
    if name is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        path = Path(scratch) / PARAMS_YAML
        path.write_bytes(read_blob(root, name))
        return read_yaml(path)


def stages_to_evaluate(stages: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Give the stages up to evaluate as dvc.yaml has them, with values of params in the names of what they read."""
    values, evaluated = flatten_values(params), dict[str, Any]()
    for name, stage in stages["stages"].items():
        deps = [PARAM_REFERENCE.sub(lambda field: str(values[field[1]]), dep) for dep in stage.get("deps", [])]
        evaluated[name] = {
            "cmd": stage["cmd"],
            "deps": sorted(dep.rstrip("/") for dep in deps),
            "params": sorted(stage.get("params", [])),
            "outs": [*stage.get("outs", []), *stage.get("metrics", [])],
        }
        if name == LAST_STAGE:
            return evaluated
    raise UserError(DVC_YAML, f"has no stage {LAST_STAGE}")


def dependency_files(root: Path, tree: Mapping[str, str], deps: Collection[str]) -> dict[str, str]:
    """Give the MD5 of each file that is read, and of each file or folder of `.dvc` files that is."""
    files: dict[str, str] = {}
    for path, name in tree.items():
        if path.endswith(".dvc"):
            pointer = read_yaml_blob(root, name)
            folder = Path(path).parent / pointer.get("wdir", ".")
            files |= {
                str(folder / out["path"]): out["md5"] for out in pointer["outs"] if is_read(deps, folder / out["path"])
            }
        elif is_read(deps, Path(path)):
            files[path] = blob_md5(root, name)
    return files


def is_read(deps: Collection[str], path: Path) -> bool:
    """Say whether a file or folder is read: itself, within a folder that is, or for something that it holds."""
    held = [dep for dep in deps if path.is_relative_to(dep) or Path(dep).is_relative_to(path)]
    return bool(held) and not path.is_relative_to(CHAMPION_PATH)


def recorded_outcome(inputs: CommitInputs, params: Mapping[str, Any], lock: Mapping[str, Any]) -> str | None:
    """Give the MD5 of the answers that dvc.lock names; None if it does not, or something was otherwise then.

    Asked of the lock file alone, as DVC would ask it of a checkout; whatever champion was met then.
    """
    written: dict[str, str] = {}
    for name, stage in inputs.stages.items():
        entry = lock.get(name, {})
        then = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
        now = {dep: written.get(dep, dependency_md5(inputs.files, dep)) for dep in stage["deps"]}
        values = {name: lookup_param(params, name) for name in stage["params"]}
        ours = entry.get("cmd") == stage["cmd"] and entry.get("params", {}).get(PARAMS_YAML, {}) == values
        if not ours or then | WITHOUT_CHAMPION != now | WITHOUT_CHAMPION:
            return None
        written |= {out["path"]: out["md5"] for out in entry["outs"]}
    return written.get(PREDICTIONS_PATH) if METRICS_FILE in written else None


def dependency_md5(files: Mapping[str, str], dep: str) -> str | None:
    """Give the MD5 of a dependency, which may be a folder; None if it is not there."""
    within = {path.removeprefix(f"{dep}/"): md5 for path, md5 in files.items() if path.startswith(f"{dep}/")}
    return files.get(dep) or (dvc_folder_md5(within) if within else None)


def input_changes(before: CommitInputs, after: CommitInputs) -> Iterator[str]:
    """Say what of the inputs changed, a line each: stages, params, files."""
    if before.same_inputs(after):
        yield f"{DVC_LOCK} alone: other answers were made from the same data, params and code"
    for name in sorted({*before.params, *after.params}):
        if before.params.get(name) != after.params.get(name):
            yield f"params    {name}: {short_value(before.params, name)} -> {short_value(after.params, name)}"
    for path in sorted({*before.files, *after.files}):
        then, now = before.files.get(path), after.files.get(path)
        if then != now:
            kind = "data" if path.startswith("data/") else "code"
            yield f"{kind}      {path} {'added' if then is None else 'removed' if now is None else 'changed'}"
    for name in dict.fromkeys([*before.stages, *after.stages]):
        if before.stages.get(name) != after.stages.get(name):
            yield f"stage     {name}: dvc.yaml says something else of it"
