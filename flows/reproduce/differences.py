"""Differences from when a run was recorded: data, code, params, packages, machine."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.vcs.changed_files import changed_in_folder
from flows.vcs.dvc_lock import dvc_md5

DifferenceKind = Literal[
    "data", "code", "params", "thread count", "package", "Python", "CPU kind", "device", "base model"
]

THREADS_PARAM = "model.threads"
MAX_VALUE_CHARS = 60
FILES_SHOWN = 5


@dataclass(frozen=True)
class InputDifference:
    """One thing that differs.

    `stage` is the first that it can have changed, empty if that may be any; `files` are those that changed in a folder,
    where git knows what it held then.
    """

    kind: DifferenceKind
    name: str
    recorded: str
    current: str
    stage: str = ""
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name it, then and now."""
        named = f"{self.kind} {self.name}" if self.name else self.kind
        shown = [*self.files[:FILES_SHOWN], *(["..."] if len(self.files) > FILES_SHOWN else [])]
        inside = f" ({', '.join(shown)})" if shown else ""
        return f"{named}{inside}: {self.recorded} then, {self.current} now"


def input_differences(tree: Path, lock: Mapping[str, Any]) -> Iterator[InputDifference]:
    """Compare what the stages read, and no stage wrote, with the digests of dvc.lock.

    Args:
        tree: A worktree with its data, before any stage runs.
        lock: The stages of its dvc.lock.
    """
    written = {out["path"] for entry in lock.values() for out in entry.get("outs", [])}
    seen: set[str] = set()
    for stage, entry in lock.items():
        for dep in entry.get("deps", []):
            path = dep["path"]
            if path in written | seen:
                continue
            seen.add(path)
            digest = dvc_md5(tree / path) if (tree / path).exists() else "missing"
            if digest != dep["md5"]:
                kind: DifferenceKind = "code" if path.startswith(("pipeline/", "rules")) else "data"
                files = changed_in_folder(tree, path, dep["md5"]) if (tree / path).is_dir() else []
                yield InputDifference(kind, path, dep["md5"][:12], digest[:12], stage, tuple(files))


def param_differences(lock: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[InputDifference]:
    """Compare params.yaml with the values that dvc.lock holds; a stage knows what it reads only."""
    now, seen = flatten_values(params), set[str]()
    for stage, entry in lock.items():
        kept = entry.get("params", {}).get("params.yaml", {})  # sections, and single values as `register.metric`
        then = flatten_values(kept)
        names = {*then, *(name for name in now if f"{name}.".startswith(tuple(f"{one}." for one in kept)))} - seen
        seen |= names
        for name in sorted(names):
            if then.get(name) != now.get(name):
                kind: DifferenceKind = "thread count" if name == THREADS_PARAM else "params"
                yield InputDifference(
                    kind, "" if name == THREADS_PARAM else name, short_value(then, name), short_value(now, name), stage
                )


def short_value(values: Mapping[str, Any], name: str) -> str:
    """Say a value, cut where it is long."""
    text = str(values[name]) if name in values else "not there"
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}..."


def flatten_values(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Flatten nested values to dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten_values(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value
    return flat


def machine_differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[InputDifference]:
    """Compare device, kind of CPU and Python; both as `data/finetune/environment.json` has them."""
    if recorded["device"] != now["device"]:
        yield InputDifference("device", "", recorded["device"], now["device"])
    if cpu_kind(recorded) != cpu_kind(now):
        yield InputDifference("CPU kind", "", cpu_kind(recorded), cpu_kind(now))
    if recorded["python"] != now["python"]:
        yield InputDifference("Python", "", recorded["python"], now["python"])


def cpu_kind(environment: Mapping[str, Any]) -> str:
    """Say in one word what the kernels of libraries are chosen by."""
    cpu = environment["cpu"]
    return " ".join(part for part in (cpu["machine"], cpu.get("vendor", ""), cpu["kernels"]) if part)


def package_differences(
    recorded: Mapping[str, str], pinned: Mapping[str, str], installed: Mapping[str, str]
) -> Iterator[InputDifference]:
    """Compare the packages that are installed with those recorded, and those not recorded with what was pinned.

    Args:
        recorded: Versions that the training recorded.
        pinned: Versions that the state's constraints name for what its stages need.
        installed: What there is now.
    """
    for name, then in {**pinned, **recorded}.items():
        now = installed.get(name, "not installed")
        if now != then and (name in recorded or now.partition("+")[0] != then):  # a pin names no build, such as +cpu
            yield InputDifference("package", name, then, now)


def changes_machine_kind(differences: Iterable[InputDifference]) -> list[str]:
    """Name what makes this another kind of machine, on which no bytes of computed numbers are promised."""
    return [str(difference) for difference in differences if difference.kind in ("CPU kind", "device")]
