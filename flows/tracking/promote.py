"""Another champion by hand, and back: recorded for good, seen by `tunesmith predict` and by the alias in MLflow."""

import tempfile
from pathlib import Path

from flows.champion import promotion_log, store
from flows.tracking.aliases import download_model, sync_promotions, version_by_number
from flows.tracking.versions import ModelVersion, find_version
from flows.vcs.lock import checkout_lock
from pipeline.errors import UserError
from pipeline.params import load_params


def promote_version(root: Path, number: str, why: str) -> list[str]:
    """Make a version the champion; say what was done.

    Raises:
        UserError: Without a reason, for an unknown version, for the champion itself, or if its weights are others.
    """
    if not why.strip():
        raise UserError("-m", "is empty", expected="a reason", do="say in a few words why; it is kept for good")
    name = load_params(root / "params.yaml").register.name
    with checkout_lock(root, "tunesmith promote"):
        return change_champion(root, version_by_number(root, name, number), how="promote", why=why.strip())


def rollback_champion(root: Path, why: str) -> list[str]:
    """Make the champion before the present one the champion again; say what was done.

    Raises:
        UserError: If there is none before it, or MLflow does not have its version.
    """
    name = load_params(root / "params.yaml").register.name
    with checkout_lock(root, "tunesmith rollback"):
        reigns = promotion_log.succession(promotion_log.read_promotions(root, name))
        if len(reigns) < 2:
            raise UserError(
                name,
                "has no champion before the present one to roll back to",
                do="`tunesmith promote VERSION -m TEXT` makes any version the champion",
            )
        version = find_version(root, name, reigns[-2])
        if version is None:
            raise UserError(
                f"champion {reigns[-2][:12]} of {name}", "is not in MLflow", do="`tunesmith sync` registers it again"
            )
        return change_champion(root, version, how="rollback", why=why.strip())


def change_champion(root: Path, version: ModelVersion, *, how: promotion_log.PromotionKind, why: str) -> list[str]:
    """Put the move on record, then make the version the champion, then show it in MLflow.

    In this order: whatever ends it early, `tunesmith sync` makes the rest agree with the record.
    """
    name, held = version.name, store.current_champion(root, version.name)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        champion = download_model(root, version, Path(scratch))
        if held is not None and held.digest == champion.digest:
            raise UserError(
                f"version {version.number} of {name}", "is the champion already", do="`tunesmith status` shows it"
            )
        before, state = held.digest if held else None, version.state_commit(root)
        promotion_log.append_promotion(
            root, promotion_log.Promotion(name, champion.digest, before, how=how, why=why, state=state)
        )
        store.write_champion(store.champion_folder(root, name), champion.adapter, champion.release)
    return [
        f"champion of {name}: version {version.number}, adapter {champion.digest[:12]}",
        *sync_promotions(root, name),
    ]
