"""What made what: from the source files to the alias, found by any name of any part of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.tracking.queries import Recorded, Registered, runs, versions
from flows.tracking.release import RELEASE_TAG
from flows.tracking.versions import ADAPTER_TAG
from flows.vcs.dvc_lock import md5_of
from flows.vcs.git import git
from flows.vcs.snapshot import Snapshot, kept
from flows.vcs.states import ADAPTER, PAIRS, Past, cache, members, past, stored
from pipeline.errors import Problem
from pipeline.params import load_params

SHORTEST = 4
"""Characters of the beginning of a digest or an id."""
SHOWN = {
    "pairs": PAIRS,
    "train": "data/validate/train.parquet",
    "test": "data/validate/test.parquet",
    "tokens": "data/tokenize/train.arrow",
    "weights": ADAPTER,
}


@dataclass(frozen=True)
class Chain:
    """One model from its sources to its aliases; a part that is not there is None.

    Args:
        name: The model's name.
        run: What MLflow tells of the run.
        kept: The commit of its state, the one it is based on, and whether they differ.
        state: What dvc.lock said there.
        version: What the registry tells of the version.
    """

    name: str
    run: Recorded | None
    kept: Snapshot | None
    state: Past | None
    version: Registered | None

    @property
    def where(self) -> str:
        """The chain in a few words, for errors."""
        version = f"version {self.version.number} of {self.name}" if self.version else ""
        return ", ".join(part for part in (version, f"run {self.run.id[:8]}" if self.run else "") if part)

    def names(self) -> tuple[set[str], set[str]]:
        """Give what it is called: names that are told whole, and digests or ids of which the beginning will do."""
        whole, begun = set(), set()
        if self.run is not None:
            whole.add(self.run.name)
            begun |= {self.run.id, self.run.tags.get(RELEASE_TAG, ""), self.run.tags.get("git.snapshot", "")}
        if self.kept is not None:
            begun |= {self.kept.commit, self.kept.head}
        if self.state is not None:
            begun |= {*self.state.outputs.values(), *self.state.sources.values()}
        if self.version is not None:
            whole |= {self.version.number, f"{self.name}/{self.version.number}", *self.version.aliases}
            begun.add(self.version.tags.get(ADAPTER_TAG, ""))
        return whole, begun


def chains(root: Path) -> list[Chain]:
    """Put together all that MLflow, git and DVC's lock files tell: the newest run first, then versions without one."""
    name = load_params(root / "params.yaml").register.name
    registered = versions(root, name)
    by_number = {version.number: version for version in registered}
    found = [
        chain(root, name, run, by_number.get(run.tags.get("tunesmith.version", "")))
        for run in runs(root, name)
        if "git.snapshot" in run.tags
    ]
    covered = {one.version.number for one in found if one.version}
    return [*found, *(Chain(name, None, None, None, one) for one in registered if one.number not in covered)]


def chain(root: Path, name: str, run: Recorded, version: Registered | None) -> Chain:
    """Follow a run to its state and its version; a state that git does not have is None."""
    commit = run.tags["git.snapshot"]
    try:
        found = kept(root, commit)
    except Problem:  # told by `flows.lineage.verify`
        return Chain(name, run, None, None, version)
    return Chain(name, run, found, past(root, commit), version)


def find(root: Path, wanted: str) -> list[Chain]:
    """Find the chains in which something has this name, or begins with it, or that a file is part of.

    Raises:
        Problem: If there is none.
    """
    everything = chains(root)
    found = [one for one in everything if called(one, wanted)]
    if not found and (root / wanted).exists():
        found = [one for one in everything if holds(root, one, Path(wanted))]
    if not found:
        raise Problem(
            wanted,
            "is part of no run that MLflow has",
            expected="a commit, digest, run, version, alias, or a file as a run used it",
            do="`tunesmith lineage` lists them all",
        )
    return found


def called(one: Chain, wanted: str) -> bool:
    """Say whether something in a chain has this name."""
    whole, begun = one.names()
    return wanted in whole or (len(wanted) >= SHORTEST and any(name.startswith(wanted) for name in begun))


def holds(root: Path, one: Chain, path: Path) -> bool:
    """Say whether a file or folder, with the bytes that it has now, is part of a chain's state."""
    if one.state is None:
        return False
    digest = md5_of(root / path)
    told = one.state.outputs | one.state.sources
    if digest in told.values():
        return True
    above = [told[str(folder)] for folder in path.parents if str(folder) in told]
    if any(digest in members(cache(root), md5).values() for md5 in above if stored(cache(root), md5).exists()):
        return True
    return (root / path).is_file() and in_git(root, one.state.commit, path) == git(root, "hash-object", str(path))


def in_git(root: Path, commit: str, path: Path) -> str | None:
    """Give git's digest of a file in a commit; None if it is not there."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", f"{commit}:{path.as_posix()}")
    except Problem:
        return None


def lines(one: Chain) -> Iterator[str]:
    """Tell a chain, from the sources to the aliases."""
    if one.state is not None:
        yield from (f"source    {path} {md5}" for path, md5 in one.state.sources.items())
        made = {part: path for part, path in SHOWN.items() if path in one.state.outputs}
        yield from (f"{part:<9} {path} {one.state.outputs[path]}" for part, path in made.items())
    if one.kept is not None:
        yield f"commit    {one.kept.head}{'' if one.kept.clean else ', with changes'}"
        yield f"state     {one.kept.commit}"
    elif one.run is not None:
        yield f"commit    {one.run.tags['git.snapshot']}, which git does not have"
    if one.run is not None:
        yield f"run       {one.run.id} ({one.run.name}, {one.run.status.lower()})"
        yield from (f"release   {one.run.tags[tag]}" for tag in (RELEASE_TAG,) if tag in one.run.tags)
    if one.version is not None:
        yield f"adapter   {one.version.tags.get(ADAPTER_TAG, 'not told')}"
        yield f"version   {one.version.number} of {one.name}"
        yield f"aliases   {', '.join(one.version.aliases) or 'none'}"
