"""Whether what a stage reads stayed as the run met it: DVC notes its digest afterwards, whatever the stage had read."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.paths import BYTECODE_FOLDER, DVC_LOCK, DVC_YAML, PARAMS_YAML
from flows.vcs.dvc import StageFailed, track_raw_data
from flows.vcs.snapshot import CHAMPION_PATH, WRITTEN_BY_RUNS, TreeState, begin_snapshot
from flows.vcs.states import dvc_cache
from pipeline.hashing import file_sha256
from pipeline.params import read_yaml

PARAM_REFERENCE = re.compile(r"\$\{([^}]+)\}")
"""A value of params in the name of a dependency."""


@dataclass(frozen=True)
class InputState:
    """What the stages read, as a run met it: SHA-256 of each file that none of them writes, by its path, and params."""

    files: Mapping[str, str]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class GuardedState:
    """The state that a run met: as git keeps it, and what the stages read of it."""

    begun: TreeState
    met: InputState


def guard_inputs(root: Path) -> GuardedState:
    """Hold the state of now. What changes from here on is noticed, or has no part in the run."""
    met = read_input_state(root)
    track_raw_data(root)
    return GuardedState(begin_snapshot(root), met)


def read_input_state(root: Path) -> InputState:
    """Look at everything that the stages read."""
    params = read_yaml(root / PARAMS_YAML)
    return InputState(
        {path: digest for dep in source_paths(root, params) for path, digest in file_digests_of(root, dep)}, params
    )


def source_paths(root: Path, params: Mapping[str, Any]) -> Iterator[str]:
    """List what stages depend on and neither they nor the run write, with values of params in its names."""
    stages = read_yaml(root / DVC_YAML)["stages"].values()
    written = {
        entry_path(out) for stage in stages for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])
    }
    own = (*(name.rstrip("/") for name in WRITTEN_BY_RUNS), str(CHAMPION_PATH))
    for dep in {entry_path(dep) for stage in stages for dep in stage.get("deps", [])}:
        path = PARAM_REFERENCE.sub(lambda field: str(lookup_param(params, field[1])), dep).rstrip("/")
        if path not in written and path not in own:
            yield path


def entry_path(entry: str | Mapping[str, Any]) -> str:
    """Give the path of an entry of dvc.yaml, which may come with settings."""
    return entry if isinstance(entry, str) else next(iter(entry))


def lookup_param(params: Mapping[str, Any], name: str) -> Any:
    """Look up a section, or a value by its dotted name; None if there is none."""
    value: Any = params
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def file_digests_of(root: Path, dep: str) -> Iterator[tuple[str, str]]:
    """Give the SHA-256 of a file, or of each file in a folder, by its path."""
    path = root / dep
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        with suppress(FileNotFoundError):  # removed at this very moment
            if file.is_file() and BYTECODE_FOLDER not in file.parts:
                yield str(file.relative_to(root)), file_sha256(file)


def changed_inputs(root: Path, met: InputState, stage: str) -> list[str]:
    """List what a stage reads, by what DVC noted of it, that is otherwise than the run met it: files, and params."""
    entry = read_yaml(root / DVC_LOCK)["stages"][stage]
    read = {dep["path"] for dep in entry.get("deps", [])} & set(source_paths(root, met.params))
    then = {path: digest for path, digest in met.files.items() if lies_within(path, read)}
    now = {path: digest for dep in read for path, digest in file_digests_of(root, dep)}
    noted = entry.get("params", {}).get(PARAMS_YAML, {})
    return [
        *sorted(path for path in {*then, *now} if then.get(path) != now.get(path)),
        *(f"{PARAMS_YAML}: {name}" for name, value in noted.items() if value != lookup_param(met.params, name)),
    ]


def require_unchanged(root: Path, held: GuardedState, stage: str) -> None:
    """Refuse what a stage made while somebody changed what it reads: nobody can say of what it was made.

    Raises:
        StageFailed: With what changed. DVC then knows nothing of the stage, so that the next run makes it anew.
    """
    changes = changed_inputs(root, held.met, stage)
    if changes:
        forget_stage(root, stage)
        raise StageFailed(stage, f"changed while the run went on: {', '.join(changes)}; run it again")


def lies_within(path: str, deps: set[str]) -> bool:
    """Say whether a file is one of these, or lies in a folder that is."""
    return any(Path(path).is_relative_to(dep) for dep in deps)


def forget_stage(root: Path, stage: str) -> None:
    """Take from DVC what it noted of a stage: from dvc.lock, and from the cache of runs that it would restore."""
    yaml = YAML()
    lock = yaml.load((root / DVC_LOCK).read_text(encoding="utf-8"))
    entry = lock["stages"].pop(stage)
    if lock["stages"]:
        with (root / DVC_LOCK).open("w", encoding="utf-8") as out:
            yaml.dump(lock, out)
    else:
        (root / DVC_LOCK).unlink()
    noted = {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}
    for run in (dvc_cache(root) / "runs").glob("*/*/*"):
        known = read_yaml(run)
        if {dep["path"]: dep["md5"] for dep in known.get("deps", [])} == noted and known["cmd"] == entry["cmd"]:
            run.unlink()
            if not any(run.parent.iterdir()):
                run.parent.rmdir()  # DVC does not get along with an empty one
