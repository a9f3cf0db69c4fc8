"""Who is champion, as MLflow shows it: aliases and the record of every move, both made from the project's own file."""

from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from flows.champion import promotion_log, store
from flows.tracking.client import mlflow_client
from flows.tracking.versions import (
    ADAPTER_TAG,
    CHAMPION_NAME,
    PREVIOUS_NAME,
    ModelVersion,
    drop_alias,
    find_version,
    set_alias,
    version_of_alias,
)
from pipeline.champion import Champion
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.hashing import file_sha256, weights_file

PROMOTION_TAG = "tunesmith.promotion."


def sync_promotions(root: Path, name: str) -> list[str]:
    """Make the aliases and the record on each version agree with the champion and its moves; say what had to be done.

    A version that MLflow does not have is left out: `tunesmith sync` registers it again.
    """
    promotions, held = promotion_log.read_promotions(root, name), store.current_champion(root, name)
    for number, move in enumerate(promotions, start=1):
        version = find_version(root, name, move.adapter)
        if version is not None:
            mlflow_client(root).set_model_version_tag(name, version.number, f"{PROMOTION_TAG}{number:04}", move.summary)
    before = promotion_log.succession(promotions)[-2:-1]
    return [
        *point_alias(root, name, CHAMPION_NAME, held.digest if held else None),
        *point_alias(root, name, PREVIOUS_NAME, before[0] if before else None),
    ]


def point_alias(root: Path, name: str, alias: str, adapter: str | None) -> list[str]:
    """Point an alias at the version with these weights, or at none; say so if it was not so already."""
    wanted = find_version(root, name, adapter) if adapter else None
    if version_of_alias(root, name, alias) == wanted:
        return []
    if wanted is None:
        drop_alias(root, name, alias)
        return [f"alias {alias} of {name} removed"]
    set_alias(root, wanted, alias)
    return [f"alias {alias} points at version {wanted.number} of {name}"]


def version_by_number(root: Path, name: str, number: str) -> ModelVersion:
    """Find a version by its number.

    Raises:
        UserError: If there is none.
    """
    there = sorted(
        (str(version.version) for version in mlflow_client(root).search_model_versions(f"name = '{name}'")), key=int
    )
    if number not in there:
        raise UserError(
            f"version {number} of {name}",
            "no such version",
            expected=", ".join(there) or "a version, but there is none yet",
            do="`tunesmith up` shows them all" if there else "`tunesmith run` makes one",
        )
    return ModelVersion(name, number)


def download_model(root: Path, version: ModelVersion, target: Path) -> Champion:
    """Fetch the model of a version into a folder.

    Raises:
        UserError: If its weights are not those that the registry names.
    """
    where = f"version {version.number} of {version.name}"
    wanted = mlflow_client(root).get_model_version(version.name, version.number).tags.get(ADAPTER_TAG, "")
    try:
        name = f"models:/{version.name}/{version.number}"
        folder = Path(mlflow.artifacts.download_artifacts(name, dst_path=str(target))) / "artifacts"
        champion = Champion(folder / "adapter", read_json(folder / "release.json"))
        digest = file_sha256(weights_file(champion.adapter))
    except (MlflowException, OSError, ValueError) as error:
        raise UserError(where, "its files are gone", got=str(error), do="make it again with `tunesmith run`") from error
    if not digest == wanted == champion.digest:
        raise UserError(
            where,
            "its weights are not those that the registry names",
            expected=wanted or f"the tag {ADAPTER_TAG}",
            got=digest,
            do="make them again with `tunesmith run`",
        )
    return champion
