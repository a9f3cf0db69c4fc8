"""Laws of the state that made a champion: found where its run was, and in a clone that has commits alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.champion.origin import origin_state, read_state_release
from flows.vcs.states import state_at
from pipeline.errors import UserError
from tests.support.champion_history import Crowned, crowned
from tests.support.repositories import git

pytestmark = pytest.mark.slow  # each test fetches from a remote, object by object
FETCH = "fetch it: `git fetch REMOTE 'refs/tunesmith/*:refs/tunesmith/*'`"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowned]:
    with crowned(tmp_path_factory.mktemp("origin")) as found:
        yield found


@pytest.fixture(scope="module")
def clone(project: Crowned) -> Path:
    return project.clone("clone")


def test_where_the_run_was_its_own_state_is_found(project: Crowned) -> None:
    """The one that the move names, exact to the byte, though a commit holds the same release."""
    found = [
        origin_state(project.root, digest, state).commit
        for digest, state in zip(project.digests, project.states, strict=True)
    ]
    assert found == list(project.states)


def test_in_a_clone_the_commit_that_holds_the_release_is_found(project: Crowned, clone: Path) -> None:
    """Whether or not a move names a state; the release comes from the remote, for the clone has no data."""
    assert git(clone, "for-each-ref", "refs/tunesmith") == ""
    assert [
        origin_state(clone, project.digests[0], project.states[0]).commit,
        origin_state(clone, project.digests[1], None).commit,
    ] == [*project.commits]


def test_other_weights_are_nobodys(project: Crowned, clone: Path) -> None:
    """All releases were looked at, and that is said."""
    with pytest.raises(UserError) as caught:
        origin_state(clone, "f" * 64, project.states[0])
    assert str(caught.value) == (
        "champion ffffffffffff: the state that made it is not in this clone; expected commit "
        f"{project.states[0]}, or one whose dvc.lock holds its release; got 2 other releases, 0 that cannot be read; "
        f"{FETCH}"
    )


def test_a_release_that_is_lost_is_told(project: Crowned) -> None:
    """It may be the one that was looked for."""
    clone, away = project.clone("poor"), project.store.with_name("away")
    project.store.rename(away)
    with pytest.raises(
        UserError, match=r"got 0 other releases, 2 that cannot be read; data/register/release\.json of "
    ):
        origin_state(clone, project.digests[0], None)
    away.rename(project.store)


def test_the_release_of_a_state_is_read(project: Crowned) -> None:
    """As it was then."""
    states = [state_at(project.root, commit) for commit in project.commits]
    assert [read_state_release(project.root, state)["digests"]["adapter"] for state in states if state] == [
        *project.digests
    ]
