"""Laws of what is brought into a clone: data and champion, each lost thing told."""

from collections.abc import Iterator

import pytest

from flows.champion.store import current_champion
from flows.project.pull import pull_project
from flows.vcs.dvc_lock import dvc_md5, locked_outputs
from pipeline.errors import UserError
from pipeline.hashing import file_sha256
from tests.support.champion_history import NAME, WEIGHTS, Crowned, crowned
from tests.support.repositories import git

pytestmark = pytest.mark.slow  # each test fetches from a remote, object by object


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowned]:
    with crowned(tmp_path_factory.mktemp("pull")) as found:
        yield found


def test_a_clone_gets_data_and_champion(project: Crowned) -> None:
    """With the states of runs, byte for byte; the commit stays as it is; a second time there is nothing to bring."""
    clone = project.clone("clone")
    assert pull_project(clone) == [
        "3 of 3 outputs of stages are here",
        f"champion {project.digests[1][:12]} brought back from DVC",
    ]
    locked = locked_outputs(clone)["finetune"]
    assert {path: dvc_md5(clone / path) for path in locked} == locked
    assert (clone / "data/raw/a.txt").read_text(encoding="utf-8") == "second"
    champion = current_champion(clone, NAME)
    assert champion is not None
    assert file_sha256(champion.adapter / WEIGHTS.name) == champion.digest == project.digests[1]
    assert git(clone, "status", "--porcelain") == ""
    assert set(git(clone, "for-each-ref", "--format=%(objectname)", "refs/tunesmith").split()) == {*project.states}
    assert pull_project(clone) == ["3 of 3 outputs of stages are here", f"champion {project.digests[1][:12]} is here"]


def test_an_output_that_is_lost_is_told(project: Crowned) -> None:
    """The next run makes it again."""
    clone, md5 = project.clone("lacking"), locked_outputs(project.root)["finetune"]["data/tokenize/train.arrow"]
    lost = project.store / md5[:2] / md5[2:]
    lost.rename(lost.with_suffix(".away"))
    told = pull_project(clone)
    lost.with_suffix(".away").rename(lost)
    assert told[0] == (
        "2 of 3 outputs of stages are here; the others, looked for in DVC's cache and in the remote beside, will be "
        "made again"
    )
    assert not (clone / "data/tokenize/train.arrow").exists()


def test_sources_that_are_lost_stop_it(project: Crowned) -> None:
    """Nobody can make them again. Without a remote that is said, too."""
    clone = project.clone("bare")
    (clone / ".dvc/config").write_text("", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        pull_project(clone)
    assert str(caught.value) == (
        "data/raw: looked for in DVC's cache, and no remote is set, and not there; `dvc push` them from where they are"
    )
    assert current_champion(clone, NAME) is None


def test_a_champion_that_is_lost_stops_it(project: Crowned) -> None:
    """A new model would be compared with nobody, and be promoted."""
    clone, md5 = project.clone("leaderless"), locked_outputs(project.root)["finetune"]["data/register/release.json"]
    lost = project.store / md5[:2] / md5[2:]
    lost.rename(lost.with_suffix(".away"))
    with pytest.raises(
        UserError, match=r"^data/register/release\.json of \w+: is neither in DVC's cache nor in its remote"
    ):
        pull_project(clone)
    lost.with_suffix(".away").rename(lost)
