"""Stage 6. Reads the reports of all stages before, and data/champion/.

Computes the verdict of the gate: is the fine-tuned model surely better than the base model and than the champion?
Writes data/register/: release.json (verdict, reasons, every digest) and README.md, the model card.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline import stage
from pipeline.card import model_card
from pipeline.champion import read_champion
from pipeline.digests import file_digests, file_sha256, tree_digest, weights_of
from pipeline.pairs import SPLITS, read_json, write_json
from pipeline.params import Model, Prompt, Register

log = logging.getLogger(__name__)

Outcome = Literal["promote", "keep", "unchanged"]


@dataclass(frozen=True)
class Verdict:
    """What the gate decides, and why.

    `promote`: becomes the champion. `keep`: recorded, but the champion stays. `unchanged`: it is the champion already.
    """

    outcome: Outcome
    reasons: tuple[str, ...]


def decide(comparisons: Mapping[str, Mapping[str, Any]], register: Register, *, is_champion: bool) -> Verdict:
    """Decide by the paired comparisons; a tie does not promote.

    Args:
        comparisons: The fine-tuned model against each other arm, by the arm's name.
        register: The gate's rule: the whole interval of the gain must lie above `min_gain`.
        is_champion: Whether these very weights are the champion's.
    """
    if is_champion:
        return Verdict("unchanged", ("these weights are the champion's, byte for byte",))
    passed, reasons = True, []
    for name, found in comparisons.items():
        sure = found["low"] > register.min_gain
        passed = passed and sure
        reasons.append(
            f"{'surely' if sure else 'not surely'} better than the {name} model: {found['metric']} "
            f"{found['difference']:+.3f} ({register.confidence:.0%} interval {found['low']:+.3f} to "
            f"{found['high']:+.3f}, n={found['n']}, p={found['p_value']:.2g}); needed: above {register.min_gain:+.3f}"
        )
    return Verdict("promote" if passed else "keep", tuple(reasons))


def digests(data: Path) -> dict[str, str]:
    """Digest what the model was made from and what came out, each rung of the ladder from data to metrics."""
    rungs = {
        "pairs": file_sha256(data / "ingest" / "pairs.parquet"),
        **{split: file_sha256(data / "validate" / f"{split}.parquet") for split in SPLITS},
        **{f"{split}_tokens": file_sha256(data / "tokenize" / f"{split}.arrow") for split in SPLITS},
        "initial_adapter": read_json(data / "finetune" / "report.json")["initial_adapter"],
        "history": file_sha256(data / "finetune" / "history.jsonl"),
        "adapter": file_sha256(weights_of(data / "finetune" / "adapter")),
        "adapter_folder": tree_digest(file_digests(data / "finetune" / "adapter")),
        "predictions": file_sha256(data / "evaluate" / "predictions.parquet"),
        "metrics": file_sha256(data / "evaluate" / "metrics.json"),
    }
    return {"base": read_json(data / "finetune" / "report.json")["base_digest"], **rungs}


def run(model: Model, prompt: Prompt, register: Register, data: Path) -> None:
    """Decide, and write the release."""
    metrics = read_json(data / "evaluate" / "metrics.json")
    found, checked = digests(data), read_json(data / "validate" / "report.json")
    champion = read_champion(data / "champion")
    verdict = decide(
        metrics["comparisons"],
        register,
        is_champion=champion is not None and champion.digest == found["adapter"],
    )
    release = {
        "name": register.name,
        "verdict": verdict.outcome,
        "reasons": verdict.reasons,
        "champion_before": champion.digest if champion else None,
        "model": model.model_dump(),
        "prompt": prompt.model_dump(),
        "labels": read_json(data / "validate" / "labels.json"),
        "metrics": metrics,
        "rows": checked["splits"],
        "profile": checked["profile"],
        "training": read_json(data / "finetune" / "report.json"),
        "environment": read_json(data / "finetune" / "environment.json"),
        "digests": found,
    }
    with stage.whole(data / "register") as folder:
        write_json(folder / "release.json", release)
        (folder / "README.md").write_text(model_card(release), encoding="utf-8")
    log.info("register: verdict: %s; %s", verdict.outcome, "; ".join(verdict.reasons))


if __name__ == "__main__":
    stage.main(lambda params, data: run(params.model, params.prompt, params.register, data))
