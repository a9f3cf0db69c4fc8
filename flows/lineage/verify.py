"""What is wrong with a chain from sources to alias: everything that can be computed again is, and compared."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from flows.champion import store
from flows.lineage.chains import Chain
from flows.tracking.aliases import model_of
from flows.tracking.release import RELEASE_TAG, lineage
from flows.tracking.versions import ADAPTER_TAG, CHAMPION, Version
from flows.vcs.dvc import dvc
from flows.vcs.dvc_lock import md5_of
from flows.vcs.git import git
from flows.vcs.snapshot import Snapshot, differing
from flows.vcs.states import RELEASE, Past, cache, in_worktree, members, stored, whole
from pipeline.errors import Problem
from pipeline.hashing import file_sha256, weights_of

KEEPING = ("refs/heads", "refs/tags", "refs/remotes")
"""What a commit is on that is part of the project's history."""


def faults(root: Path, found: list[Chain]) -> list[Problem]:
    """Check chains: history, changes, data here and in the remote, tags, weights, and versions that nothing made."""
    told: list[Problem] = []
    states: dict[str, Past] = {}
    data = Data(root, cache(root), set())
    for one in found:
        told += [*of_version(root, one), *of_history(root, one)]
        if one.state is not None and one.kept is not None:
            states[one.state.commit] = one.state
            told += of_tags(one, one.kept, one.state, data.cache)
    for state in states.values():
        told += data.faults(state)
    if dvc(root, "remote", "list").strip():
        for state in states.values():
            told += of_remote(root, state)
    return [*told, *of_champion(root, found)]


def of_version(root: Path, one: Chain) -> Iterator[Problem]:
    """Find a version that no run made, and weights that are not what the registry says."""
    if one.version is None:
        return
    where = f"version {one.version.number} of {one.name}"
    if one.run is None:
        yield Problem(
            where,
            "is an orphan: no run of this project made it",
            expected="a run that names its state and this version",
            got=one.version.run or "no run",
            do="delete the version in MLflow, or bring its run back",
        )
    if ADAPTER_TAG not in one.version.tags:
        return
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        try:
            model_of(root, Version(one.name, one.version.number), Path(place))
        except Problem as problem:
            yield problem


def of_history(root: Path, one: Chain) -> Iterator[Problem]:
    """Find a state that git has lost, a commit that is on no branch any more, and a run of uncommitted changes."""
    if one.run is None:
        return
    where, commit = f"run {one.run.id[:8]}", one.run.tags["git.snapshot"]
    if one.kept is None or one.state is None:
        yield Problem(
            where, "its state is not in git", expected=commit, do="fetch it from where it was run, or run it again"
        )
        return
    holding = git(root, "for-each-ref", "--contains", one.kept.head, "--format=%(refname)", *KEEPING)
    if not holding and not is_ancestor(root, one.kept.head):
        yield Problem(
            where,
            "its commit is on no branch or tag any more: history was rewritten",
            expected=f"a branch with {one.kept.head[:12]}",
            do=f"`git branch NAME {one.kept.head[:12]}` keeps it",
        )
    if not one.kept.clean:
        yield Problem(
            where,
            "was run with changes that are not committed",
            expected=f"the files of {one.kept.head[:12]}",
            got=", ".join(differing(root, one.kept.head, one.kept.commit)),
            do=f"commit them and run again; until then they are kept as {one.kept.commit[:12]}",
        )


@dataclass(frozen=True)
class Data:
    """What DVC keeps here, each object of which is checked once.

    Args:
        root: The checkout.
        cache: Where DVC keeps objects.
        seen: The digests of those that have been checked.
    """

    root: Path
    cache: Path
    seen: set[str]

    def faults(self, state: Past) -> Iterator[Problem]:
        """Find data of a state that DVC's cache, or git, does not have, or has with other bytes."""
        for path, md5 in (state.outputs | state.sources).items():
            if md5 in self.seen:
                continue
            self.seen.add(md5)
            if path in state.sources and not self.by_dvc(state.commit, path):
                yield from self.of_source(state.commit, path, md5)
            else:
                yield from self.of_object(f"{path} of {state.commit[:12]}", md5)

    def by_dvc(self, commit: str, path: str) -> bool:
        """Say whether a source was tracked by DVC in a commit, and not by git."""
        return bool(git(self.root, "ls-tree", "--name-only", commit, "--", f"{path}.dvc"))

    def of_object(self, where: str, md5: str) -> Iterator[Problem]:
        """Check an object of DVC's cache, and of a folder every file."""
        place = stored(self.cache, md5)
        if not place.exists():
            yield Problem(where, "its data are not in DVC's cache", expected=str(place), do="`dvc fetch`, or a backup")
            return
        found = md5_of(place)
        if found != md5.removesuffix(".dir"):
            yield Problem(
                where, "other bytes in DVC's cache", expected=md5, got=found, do="remove the object and `dvc fetch` it"
            )
        elif md5.endswith(".dir"):
            for name, member in members(self.cache, md5).items():
                yield from self.of_object(f"{where}, {name}", member)

    def of_source(self, commit: str, path: str, md5: str) -> Iterator[Problem]:
        """Check a source that git keeps: laid out from the commit, it has the digest that ingest read."""
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
            index, tree = {"GIT_INDEX_FILE": str(Path(place) / "index")}, Path(place) / "tree"
            tree.mkdir()
            if git(self.root, "ls-tree", "--name-only", commit, "--", path):
                git(self.root, f"--work-tree={tree}", "checkout", commit, "--", path, **index)
            found = md5_of(tree / path) if (tree / path).exists() else "nothing"
        if found != md5:
            yield Problem(
                f"{path} of {commit[:12]}",
                "is not in git as ingest read it",
                expected=md5,
                got=found,
                do="take ignored files out of it, or let DVC track it",
            )


def is_ancestor(root: Path, commit: str) -> bool:
    """Say whether a commit is in the history of what is checked out; not if the two have nothing in common."""
    try:
        git(root, "merge-base", "--is-ancestor", commit, "HEAD")
    except Problem:
        return False
    return True


def of_remote(root: Path, state: Past) -> Iterator[Problem]:
    """Find data of a state that this checkout has and DVC's remote lacks."""
    with in_worktree(root, state.commit) as tree:
        told: Mapping[str, Any] = json.loads(dvc(tree, "status", "--cloud", "--json") or "{}")
    for path, what in told.items():
        if what == "new":
            yield Problem(
                f"{path} of {state.commit[:12]}", "is not in DVC's remote", do="`dvc push` from a checkout of it"
            )


def of_tags(one: Chain, kept: Snapshot, state: Past, objects: Path) -> Iterator[Problem]:
    """Compare every tag on what made a model with what the files of its state say."""
    md5, run = state.outputs.get(RELEASE), one.run
    if run is None or RELEASE_TAG not in run.tags or md5 is None or not whole(objects, md5):
        return
    text = stored(objects, md5).read_bytes()
    release = json.loads(text)
    wanted = {name: str(value) for name, value in lineage(state, release, kept).items()}
    own = wanted | {"tunesmith.verdict": release["verdict"], RELEASE_TAG: sha256(text).hexdigest()}
    yield from edited(f"run {run.id[:8]}", run.tags, own)
    if one.version is not None and one.version.run == run.id:
        yield from edited(
            f"version {one.version.number} of {one.name}",
            one.version.tags,
            wanted | {ADAPTER_TAG: release["digests"]["adapter"]},
        )


def edited(where: str, tags: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[Problem]:
    """Find tags that do not say what they must."""
    for name, value in wanted.items():
        if tags.get(name) != value:
            yield Problem(
                f"{where}, tag {name}",
                "was edited: the files say otherwise",
                expected=value,
                got=tags.get(name, "no such tag"),
                do="set it to what was expected",
            )


def of_champion(root: Path, found: list[Chain]) -> Iterator[Problem]:
    """Compare the champion of the checkout with its own record, and with the alias."""
    for one in found:
        held = store.held(root, one.name)
        if held is None or one.version is None or CHAMPION not in one.version.aliases:
            continue
        digest = file_sha256(weights_of(held.adapter))
        if digest != held.digest:
            yield Problem(
                f"champion of {one.name}",
                "its weights are not those of its release",
                expected=held.digest,
                got=digest,
                do=f"`tunesmith promote {one.version.number}` after another, or remove {held.adapter.parent} and sync",
            )
        if one.version.tags.get(ADAPTER_TAG) != held.digest:
            yield Problem(
                f"alias champion of {one.name}",
                "points at another model than the champion of this checkout",
                expected=held.digest,
                got=f"version {one.version.number}, {one.version.tags.get(ADAPTER_TAG)}",
                do="`tunesmith sync` points it back",
            )
        return
