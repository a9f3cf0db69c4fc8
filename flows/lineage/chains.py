"""What made what: from the source files to the alias, found by any name of any part of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.tracking.queries import TrackedRun, TrackedVersion, list_runs, list_versions
from flows.tracking.release import RELEASE_TAG
from flows.tracking.tags import SNAPSHOT_TAG, VERSION_TAG
from flows.tracking.versions import ADAPTER_TAG
from flows.vcs.dvc_lock import dvc_md5
from flows.vcs.git import run_git
from flows.vcs.snapshot import Snapshot, read_snapshot
from flows.vcs.states import ADAPTER_PATH, PAIRS_PATH, CommitState, cache_path, dvc_cache, folder_members, state_at
from pipeline.errors import UserError
from pipeline.params import load_params

MIN_PREFIX_CHARS = 4
"""Characters of the beginning of a digest or an id."""
LINEAGE_FILES = {
    "pairs": PAIRS_PATH,
    "train": "data/validate/train.parquet",
    "test": "data/validate/test.parquet",
    "tokens": "data/tokenize/train.arrow",
    "weights": ADAPTER_PATH,
}


@dataclass(frozen=True)
class Chain:
    """One model from its sources to its aliases; a part that is not there is None.

    Args:
        name: The model's name.
        run: What MLflow tells of the run.
        snapshot: The commit of its state, the one it is based on, and whether they differ.
        state: What dvc.lock said there.
        version: What the registry tells of the version.
    """

    name: str
    run: TrackedRun | None
    snapshot: Snapshot | None
    state: CommitState | None
    version: TrackedVersion | None

    @property
    def description(self) -> str:
        """The chain in a few words, for errors."""
        version = f"version {self.version.number} of {self.name}" if self.version else ""
        return ", ".join(part for part in (version, f"run {self.run.id[:8]}" if self.run else "") if part)

    def names(self) -> tuple[set[str], set[str]]:
        """Give what it is called: names that are told whole, and digests or ids of which the beginning will do."""
        whole, begun = set(), set()
        if self.run is not None:
            whole.add(self.run.name)
            begun |= {self.run.id, self.run.tags.get(RELEASE_TAG, ""), self.run.tags.get(SNAPSHOT_TAG, "")}
        if self.snapshot is not None:
            begun |= {self.snapshot.commit, self.snapshot.head}
        if self.state is not None:
            begun |= {*self.state.outputs.values(), *self.state.sources.values()}
        if self.version is not None:
            whole |= {self.version.number, f"{self.name}/{self.version.number}", *self.version.aliases}
            begun.add(self.version.tags.get(ADAPTER_TAG, ""))
        return whole, begun


def build_chains(root: Path) -> list[Chain]:
    """Put together all that MLflow, git and DVC's lock files tell: the newest run first, then versions without one."""
    name = load_params(root / "params.yaml").register.name
    registered = list_versions(root, name)
    by_number = {version.number: version for version in registered}
    chains = [
        build_chain(root, name, run, by_number.get(run.tags.get(VERSION_TAG, "")))
        for run in list_runs(root, name)
        if SNAPSHOT_TAG in run.tags
    ]
    covered = {one.version.number for one in chains if one.version}
    return [*chains, *(Chain(name, None, None, None, one) for one in registered if one.number not in covered)]


def build_chain(root: Path, name: str, run: TrackedRun, version: TrackedVersion | None) -> Chain:
    """Follow a run to its state and its version; a state that git does not have is None."""
    commit = run.tags[SNAPSHOT_TAG]
    try:
        snapshot = read_snapshot(root, commit)
    except UserError:  # reported by `flows.lineage.verify`
        return Chain(name, run, None, None, version)
    return Chain(name, run, snapshot, state_at(root, commit), version)


def find_chains(root: Path, wanted: str) -> list[Chain]:
    """Find the chains in which something has this name, or begins with it, or that a file is part of.

    Raises:
        UserError: If there is none.
    """
    everything = build_chains(root)
    named = [one for one in everything if is_named(one, wanted)]
    if not named and (root / wanted).exists():
        named = [one for one in everything if contains_file(root, one, Path(wanted))]
    if not named:
        raise UserError(
            wanted,
            "is part of no run that MLflow has",
            expected="a commit, digest, run, version, alias, or a file as a run used it",
            do="`tunesmith lineage` lists them all",
        )
    return named


def is_named(one: Chain, wanted: str) -> bool:
    """Say whether something in a chain has this name."""
    whole, begun = one.names()
    return wanted in whole or (len(wanted) >= MIN_PREFIX_CHARS and any(name.startswith(wanted) for name in begun))


def contains_file(root: Path, one: Chain, path: Path) -> bool:
    """Say whether a file or folder, with the bytes that it has now, is part of a chain's state."""
    if one.state is None:
        return False
    digest = dvc_md5(root / path)
    digests = one.state.outputs | one.state.sources
    if digest in digests.values():
        return True
    above = [digests[str(folder)] for folder in path.parents if str(folder) in digests]
    if any(
        digest in folder_members(dvc_cache(root), md5).values()
        for md5 in above
        if cache_path(dvc_cache(root), md5).exists()
    ):
        return True
    return (root / path).is_file() and git_blob_id(root, one.state.commit, path) == run_git(
        root, "hash-object", str(path)
    )


def git_blob_id(root: Path, commit: str, path: Path) -> str | None:
    """Give git's digest of a file in a commit; None if it is not there."""
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", f"{commit}:{path.as_posix()}")
    except UserError:
        return None


def chain_lines(one: Chain) -> Iterator[str]:
    """Tell a chain, from the sources to the aliases."""
    if one.state is not None:
        yield from (f"source    {path} {md5}" for path, md5 in one.state.sources.items())
        made = {part: path for part, path in LINEAGE_FILES.items() if path in one.state.outputs}
        yield from (f"{part:<9} {path} {one.state.outputs[path]}" for part, path in made.items())
    if one.snapshot is not None:
        yield f"commit    {one.snapshot.head}{'' if one.snapshot.clean else ', with changes'}"
        yield f"state     {one.snapshot.commit}"
    elif one.run is not None:
        yield f"commit    {one.run.tags['git.snapshot']}, which git does not have"
    if one.run is not None:
        yield f"run       {one.run.id} ({one.run.name}, {one.run.status.lower()})"
        yield from (f"release   {one.run.tags[tag]}" for tag in (RELEASE_TAG,) if tag in one.run.tags)
    if one.version is not None:
        yield f"adapter   {one.version.tags.get(ADAPTER_TAG, 'unknown')}"
        yield f"version   {one.version.number} of {one.name}"
        yield f"aliases   {', '.join(one.version.aliases) or 'none'}"
