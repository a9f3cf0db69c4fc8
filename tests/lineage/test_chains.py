"""Laws of lineage: every name of a part finds the whole chain, from the sources to the aliases."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.lineage.chains import build_chains, chain_lines, find_chains
from flows.vcs.states import ADAPTER_PATH, PAIRS_PATH, state_at
from pipeline.errors import UserError
from tests.support.fast_stages import commit, project, released
from tests.support.repositories import git

pytestmark = pytest.mark.slow  # each project is made by real stages of DVC, which takes half a minute


@dataclass(frozen=True)
class Two:
    """A project with two runs, each with a model of its own."""

    root: Path
    runs: tuple[str, ...]

    def found(self, name: str) -> list[str]:
        """The runs whose chain has this name in it, the first run first."""
        return sorted((one.run.name for one in find_chains(self.root, name) if one.run), key=self.runs.index)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with project(tmp_path_factory.mktemp("lineage")) as root:
        released(root, "r1")
        commit(root, "second\n", "other data")
        released(root, "r2")
        yield Two(root, ("r1", "r2"))


def test_any_name_of_a_part_finds_its_chain(two: Two) -> None:
    """Run, state, commit, data, weights, version: whole or by their beginning."""
    second, first = build_chains(two.root)
    for one, run in ((first, "r1"), (second, "r2")):
        assert one.run
        assert one.version
        assert one.snapshot
        assert one.state
        adapter = one.version.tags["tunesmith.adapter"]
        digests = [
            one.run.id,
            one.snapshot.commit,
            adapter,
            one.state.outputs[PAIRS_PATH],
            one.state.outputs[ADAPTER_PATH],
        ]
        names = [run, one.version.number, f"{one.name}/{one.version.number}", *digests, *(name[:9] for name in digests)]
        assert [two.found(name) for name in names] == [[run]] * len(names)
    assert two.found("champion") == ["r1"]
    assert two.found("challenger") == ["r2"]


def test_a_file_is_part_of_what_was_made_of_its_bytes(two: Two) -> None:
    """Whoever keeps it, git or DVC, by itself or in a folder; what no run saw is part of none."""
    assert two.found("data/raw") == two.found("data/raw/pairs.jsonl") == ["r2"]
    assert two.found("data/finetune/adapter/adapter_model.safetensors") == ["r2"]
    assert two.found("make.py") == ["r1", "r2"]
    (two.root / "unseen.txt").write_text("new", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        find_chains(two.root, "unseen.txt")
    (two.root / "unseen.txt").unlink()
    assert str(caught.value) == (
        "unseen.txt: is part of no run that MLflow has; expected a commit, digest, run, version, alias, or a file as a "
        "run used it; `tunesmith lineage` lists them all"
    )


def test_what_is_too_short_to_mean_one_thing_finds_nothing(two: Two) -> None:
    """Three characters of a digest are none; a number is a version, not the beginning of a digest."""
    (first,) = find_chains(two.root, "1")
    assert first.version
    with pytest.raises(UserError):
        find_chains(two.root, first.version.tags["tunesmith.adapter"][:3])


def test_a_chain_is_told_from_the_sources_to_the_aliases(two: Two) -> None:
    """One line a part, each digest whole."""
    (one,) = find_chains(two.root, "champion")
    assert one.run
    assert one.version
    assert one.snapshot
    state = state_at(two.root, one.snapshot.commit)
    assert state
    assert list(chain_lines(one)) == [
        f"source    data/raw {state.sources['data/raw']}",
        f"source    make.py {state.sources['make.py']}",
        f"pairs     {PAIRS_PATH} {state.outputs[PAIRS_PATH]}",
        f"train     data/validate/train.parquet {state.outputs['data/validate/train.parquet']}",
        f"test      data/validate/test.parquet {state.outputs['data/validate/test.parquet']}",
        f"tokens    data/tokenize/train.arrow {state.outputs['data/tokenize/train.arrow']}",
        f"weights   {ADAPTER_PATH} {state.outputs[ADAPTER_PATH]}",
        f"commit    {git(two.root, 'rev-parse', 'HEAD^')}",
        f"state     {one.snapshot.commit}",
        f"run       {one.run.id} (r1, finished)",
        f"release   {one.run.tags['tunesmith.release']}",
        f"adapter   {one.version.tags['tunesmith.adapter']}",
        f"version   1 of {one.name}",
        "aliases   champion",
    ]
