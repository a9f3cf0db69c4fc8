"""Laws of a champion made by hand, on a real registry: aliases, the record, the checkout, and the way back."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.champion import promotion_log, store
from flows.paths import PROMOTIONS
from flows.tracking.aliases import download_model
from flows.tracking.client import mlflow_client
from flows.tracking.promote import promote_version, rollback_champion
from flows.tracking.runs import begin_mlflow_run
from flows.tracking.versions import ModelVersion, register_version, version_of_alias
from pipeline.errors import UserError
from pipeline.params import load_params
from tests.support.repositories import PROJECT, apart

NAME = "quillmoor-triage"
STATE = "1" * 40


@dataclass(frozen=True)
class Registry:
    """A project with three versions of a model, and the digests of their weights."""

    root: Path
    digests: tuple[str, ...]

    def aliases(self) -> dict[str, str | None]:
        """The versions that the two aliases point at."""
        found = {alias: version_of_alias(self.root, NAME, alias) for alias in ("champion", "previous")}
        return {alias: version and version.number for alias, version in found.items()}

    def reigning(self) -> str | None:
        """The version whose weights the checkout keeps as champion."""
        held = store.current_champion(self.root, NAME)
        return held and str(1 + self.digests.index(held.digest))

    def record(self) -> list[tuple[str, str]]:
        """How each champion became it."""
        return [
            (move.how, str(1 + self.digests.index(move.adapter)))
            for move in promotion_log.read_promotions(self.root, NAME)
        ]


def release_of(digest: str) -> dict[str, Any]:
    packages = {"numpy": "2.0.0"}
    digests = {"adapter": digest, "base": "b"}
    return {"name": NAME, "reasons": ["better"], "environment": {"packages": packages}, "digests": digests}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Three versions, registered once."""
    root = tmp_path_factory.mktemp("promote")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
            patch.setenv(name, "")  # so that what MLflow sets itself is forgotten afterwards
            patch.delenv(name)
        for name, value in apart(root).items():
            patch.setenv(name, value)
        patch.chdir(root)
        shutil.copy(PROJECT / "params.yaml", root)
        shutil.copytree(PROJECT / "pipeline", root / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "data").mkdir()
        params, digests = load_params(root / "params.yaml"), []
        for number in (1, 2, 3):
            adapter = root / str(number) / "adapter"
            adapter.mkdir(parents=True)
            (adapter / "adapter_model.safetensors").write_text(f"weights {number}", encoding="utf-8")
            digests.append(hashlib.sha256(f"weights {number}".encode()).hexdigest())
            run = begin_mlflow_run(root, params, f"run {number}")
            register_version(run, release_of(digests[-1]), adapter, {"git.snapshot": STATE})
        yield Registry(root, tuple(digests))


@pytest.fixture
def registry(made: Registry) -> Iterator[Registry]:
    """They, the first of them champion; afterwards there is no champion any more."""
    promotion_log.append_promotion(
        made.root, promotion_log.Promotion(NAME, made.digests[0], None, how="gate", why="better", state=STATE)
    )
    store.write_champion(
        store.champion_folder(made.root, NAME), made.root / "1" / "adapter", release_of(made.digests[0])
    )
    yield made
    (made.root / PROMOTIONS).unlink()
    shutil.rmtree(store.champion_folder(made.root, NAME))


def refused(registry: Registry, number: str, why: str = "better") -> str:
    """The whole text of the error; nothing has moved."""
    before = registry.reigning(), registry.record()
    with pytest.raises(UserError) as caught:
        promote_version(registry.root, number, why)
    assert (registry.reigning(), registry.record()) == before
    return str(caught.value)


def test_a_version_becomes_champion_by_hand_and_everything_follows(registry: Registry) -> None:
    """The weights that predict reads, both aliases, and the record in the project and at the version."""
    said = promote_version(registry.root, "3", "fewer wrong refunds")
    assert said == [
        f"champion of {NAME}: version 3, adapter {registry.digests[2][:12]}",
        f"alias champion points at version 3 of {NAME}",
        f"alias previous points at version 1 of {NAME}",
    ]
    assert (registry.reigning(), registry.aliases()) == ("3", {"champion": "3", "previous": "1"})
    assert registry.record() == [("gate", "1"), ("promote", "3")]
    move = promotion_log.read_promotions(registry.root, NAME)[-1]
    assert (move.before, move.why, move.state) == (registry.digests[0], "fewer wrong refunds", STATE)
    tags = mlflow_client(registry.root).get_model_version(NAME, "3").tags
    assert tags["tunesmith.promotion.0002"] == move.summary


def test_a_rollback_goes_back_step_by_step_and_no_further(registry: Registry) -> None:
    """To the champion before, then to the one before that; then there is none, and it is said."""
    promote_version(registry.root, "2", "better")
    promote_version(registry.root, "3", "better still")
    rollback_champion(registry.root, "worse")
    assert (registry.reigning(), registry.aliases()) == ("2", {"champion": "2", "previous": "1"})
    assert rollback_champion(registry.root, "worse still")[1:] == [
        f"alias champion points at version 1 of {NAME}", f"alias previous of {NAME} removed",
    ]  # fmt: skip
    assert (registry.reigning(), registry.aliases()) == ("1", {"champion": "1", "previous": None})
    assert [how for how, _ in registry.record()] == ["gate", "promote", "promote", "rollback", "rollback"]
    with pytest.raises(UserError) as caught:
        rollback_champion(registry.root, "once more")
    assert str(caught.value) == (
        f"{NAME}: has no champion before the present one to roll back to; "
        "`tunesmith promote VERSION -m TEXT` makes any version the champion"
    )


@pytest.mark.parametrize(
    ("number", "why", "error"),
    [
        ("9", "better",
         f"version 9 of {NAME}: no such version; expected 1, 2, 3; `tunesmith up` shows them all"),
        ("1", "better", f"version 1 of {NAME}: is the champion already; `tunesmith status` shows it"),
        ("2", " ", "-m: is empty; expected a reason; say in a few words why; it is kept for good"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_and_moves_nothing(registry: Registry, number: str, why: str, error: str) -> None:
    """One line each."""
    assert refused(registry, number, why) == error


def test_weights_that_are_not_what_the_registry_says_do_not_become_champion(registry: Registry, tmp_path: Path) -> None:
    """They are hashed before they are taken."""
    found = download_model(registry.root, ModelVersion(NAME, "2"), tmp_path)
    (kept,) = [
        path
        for path in (registry.root / ".tunesmith/mlartifacts").rglob("adapter_model.safetensors")
        if path.read_bytes() == (found.adapter / path.name).read_bytes()
    ]
    good = kept.read_bytes()
    kept.write_bytes(b"others")
    error = refused(registry, "2")
    kept.write_bytes(good)
    others = hashlib.sha256(b"others").hexdigest()
    assert error == (
        f"version 2 of {NAME}: its weights are not those that the registry names; expected {registry.digests[1]}; "
        f"got {others}; make them again with `tunesmith run`"
    )
