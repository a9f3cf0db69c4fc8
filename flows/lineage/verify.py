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
from flows.tracking.aliases import download_model
from flows.tracking.release import RELEASE_TAG, lineage_tags
from flows.tracking.tags import SNAPSHOT_TAG
from flows.tracking.versions import ADAPTER_TAG, CHAMPION_NAME, ModelVersion
from flows.vcs.dvc import run_dvc
from flows.vcs.dvc_lock import dvc_md5
from flows.vcs.git import run_git
from flows.vcs.snapshot import Snapshot, differing_paths
from flows.vcs.states import RELEASE_PATH, CommitState, cache_path, dvc_cache, folder_members, in_cache, in_worktree
from pipeline.errors import UserError
from pipeline.hashing import file_sha256, weights_file

DURABLE_REFS = ("refs/heads", "refs/tags", "refs/remotes")
"""What a commit is on that is part of the project's history."""


def find_faults(root: Path, chains: list[Chain]) -> list[UserError]:
    """Check chains: history, changes, data here and in the remote, tags, weights, and versions that nothing made."""
    faults: list[UserError] = []
    states: dict[str, CommitState] = {}
    data = StoredData(root, dvc_cache(root), set())
    for one in chains:
        faults += [*version_faults(root, one), *history_faults(root, one)]
        if one.state is not None and one.snapshot is not None:
            states[one.state.commit] = one.state
            faults += tag_faults(one, one.snapshot, one.state, data.cache)
    for state in states.values():
        faults += data.faults(state)
    if run_dvc(root, "remote", "list").strip():
        for state in states.values():
            faults += remote_faults(root, state)
    return [*faults, *champion_faults(root, chains)]


def version_faults(root: Path, one: Chain) -> Iterator[UserError]:
    """Find a version that no run made, and weights that are not what the registry says."""
    if one.version is None:
        return
    where = f"version {one.version.number} of {one.name}"
    if one.run is None:
        yield UserError(
            where,
            "is an orphan: no run of this project made it",
            expected="a run that names its state and this version",
            got=one.version.run or "no run",
            do="delete the version in MLflow, or bring its run back",
        )
    if ADAPTER_TAG not in one.version.tags:
        return
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        try:
            download_model(root, ModelVersion(one.name, one.version.number), Path(scratch))
        except UserError as problem:
            yield problem


def history_faults(root: Path, one: Chain) -> Iterator[UserError]:
    """Find a state that git has lost, a commit that is on no branch any more, and a run of uncommitted changes."""
    if one.run is None:
        return
    where, commit = f"run {one.run.id[:8]}", one.run.tags[SNAPSHOT_TAG]
    if one.snapshot is None or one.state is None:
        yield UserError(
            where, "its state is not in git", expected=commit, do="fetch it from where it was run, or run it again"
        )
        return
    holding = run_git(root, "for-each-ref", "--contains", one.snapshot.head, "--format=%(refname)", *DURABLE_REFS)
    if not holding and not is_ancestor(root, one.snapshot.head):
        yield UserError(
            where,
            "its commit is on no branch or tag any more: history was rewritten",
            expected=f"a branch with {one.snapshot.head[:12]}",
            do=f"`git branch NAME {one.snapshot.head[:12]}` keeps it",
        )
    if not one.snapshot.clean:
        yield UserError(
            where,
            "was run with changes that are not committed",
            expected=f"the files of {one.snapshot.head[:12]}",
            got=", ".join(differing_paths(root, one.snapshot.head, one.snapshot.commit)),
            do=f"commit them and run again; until then they are kept as {one.snapshot.commit[:12]}",
        )


@dataclass(frozen=True)
class StoredData:
    """What DVC keeps here, each object of which is checked once.

    Args:
        root: The checkout.
        cache: Where DVC keeps objects.
        checked: The digests of those that have been checked.
    """

    root: Path
    cache: Path
    checked: set[str]

    def faults(self, state: CommitState) -> Iterator[UserError]:
        """Find data of a state that DVC's cache, or git, does not have, or has with other bytes."""
        for path, md5 in (state.outputs | state.sources).items():
            if md5 in self.checked:
                continue
            self.checked.add(md5)
            if path in state.sources and not self.is_dvc_tracked(state.commit, path):
                yield from self.check_git_source(state.commit, path, md5)
            else:
                yield from self.check_object(f"{path} of {state.commit[:12]}", md5)

    def is_dvc_tracked(self, commit: str, path: str) -> bool:
        """Say whether a source was tracked by DVC in a commit, and not by git."""
        return bool(run_git(self.root, "ls-tree", "--name-only", commit, "--", f"{path}.dvc"))

    def check_object(self, where: str, md5: str) -> Iterator[UserError]:
        """Check an object of DVC's cache, and of a folder every file."""
        path = cache_path(self.cache, md5)
        if not path.exists():
            yield UserError(where, "its data are not in DVC's cache", expected=str(path), do="`dvc fetch`, or a backup")
            return
        digest = dvc_md5(path)
        if digest != md5.removesuffix(".dir"):
            yield UserError(
                where, "other bytes in DVC's cache", expected=md5, got=digest, do="remove the object and `dvc fetch` it"
            )
        elif md5.endswith(".dir"):
            for name, member in folder_members(self.cache, md5).items():
                yield from self.check_object(f"{where}, {name}", member)

    def check_git_source(self, commit: str, path: str, md5: str) -> Iterator[UserError]:
        """Check a source that git keeps: laid out from the commit, it has the digest that ingest read."""
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
            index, tree = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}, Path(scratch) / "tree"
            tree.mkdir()
            if run_git(self.root, "ls-tree", "--name-only", commit, "--", path):
                run_git(self.root, f"--work-tree={tree}", "checkout", commit, "--", path, **index)
            digest = dvc_md5(tree / path) if (tree / path).exists() else "nothing"
        if digest != md5:
            yield UserError(
                f"{path} of {commit[:12]}",
                "is not in git as ingest read it",
                expected=md5,
                got=digest,
                do="take ignored files out of it, or let DVC track it",
            )


def is_ancestor(root: Path, commit: str) -> bool:
    """Say whether a commit is in the history of what is checked out; not if the two have nothing in common."""
    try:
        run_git(root, "merge-base", "--is-ancestor", commit, "HEAD")
    except UserError:
        return False
    return True


def remote_faults(root: Path, state: CommitState) -> Iterator[UserError]:
    """Find data of a state that this checkout has and DVC's remote lacks."""
    with in_worktree(root, state.commit) as tree:
        missing: Mapping[str, Any] = json.loads(run_dvc(tree, "status", "--cloud", "--json") or "{}")
    for path, what in missing.items():
        if what == "new":
            yield UserError(
                f"{path} of {state.commit[:12]}", "is not in DVC's remote", do="`dvc push` from a checkout of it"
            )


def tag_faults(one: Chain, kept: Snapshot, state: CommitState, objects: Path) -> Iterator[UserError]:
    """Compare every tag on what made a model with what the files of its state say."""
    md5, run = state.outputs.get(RELEASE_PATH), one.run
    if run is None or RELEASE_TAG not in run.tags or md5 is None or not in_cache(objects, md5):
        return
    text = cache_path(objects, md5).read_bytes()
    release = json.loads(text)
    wanted = {name: str(value) for name, value in lineage_tags(state, release, kept).items()}
    own = wanted | {"tunesmith.verdict": release["verdict"], RELEASE_TAG: sha256(text).hexdigest()}
    yield from edited_tags(f"run {run.id[:8]}", run.tags, own)
    if one.version is not None and one.version.run == run.id:
        yield from edited_tags(
            f"version {one.version.number} of {one.name}",
            one.version.tags,
            wanted | {ADAPTER_TAG: release["digests"]["adapter"]},
        )


def edited_tags(where: str, tags: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[UserError]:
    """Find tags that do not say what they must."""
    for name, value in wanted.items():
        if tags.get(name) != value:
            yield UserError(
                f"{where}, tag {name}",
                "was edited: the files say otherwise",
                expected=value,
                got=tags.get(name, "no such tag"),
                do="set it to what was expected",
            )


def champion_faults(root: Path, chains: list[Chain]) -> Iterator[UserError]:
    """Compare the champion of the checkout with its own record, and with the alias."""
    for one in chains:
        held = store.current_champion(root, one.name)
        if held is None or one.version is None or CHAMPION_NAME not in one.version.aliases:
            continue
        digest = file_sha256(weights_file(held.adapter))
        if digest != held.digest:
            yield UserError(
                f"champion of {one.name}",
                "its weights are not those of its release",
                expected=held.digest,
                got=digest,
                do=f"`tunesmith promote {one.version.number}` after another, or remove {held.adapter.parent} and sync",
            )
        if one.version.tags.get(ADAPTER_TAG) != held.digest:
            yield UserError(
                f"alias champion of {one.name}",
                "points at another model than the champion of this checkout",
                expected=held.digest,
                got=f"version {one.version.number}, {one.version.tags.get(ADAPTER_TAG)}",
                do="`tunesmith sync` points it back",
            )
        return
