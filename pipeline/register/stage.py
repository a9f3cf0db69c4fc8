"""Stage 7. Reads the reports of all stages before, data/champion/, data/holdout_uses/ and data/learning_curve/.

Computes the decision of the gate, is the fine-tuned model significantly better than every other arm and worse in no
label, by test rows that did not decide too often; and whether it was worth it: ship it, use something simpler, or find
more test rows. Writes data/register/: release.json (decision, checks, worth, every digest), cost.json (in money; as the
seconds behind it, it differs from run to run), README.md (the model card), report.html (the page of the run) and
holdout_uses.parquet (the rows that decided).
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.arms import FINETUNED
from pipeline.artifacts import LEARNING_CURVE
from pipeline.champion import read_champion
from pipeline.files import atomic_folder, read_json, write_json
from pipeline.hashing import file_digests, file_sha256, tree_digest, weights_file
from pipeline.holdout.reuse import (
    HOLDOUT_USES_FOLDER,
    LAST_USE_FILE,
    answered_prompt_hashes,
    count_holdout_uses,
    write_use,
)
from pipeline.pairs import SPLITS
from pipeline.params import Model, Prices, Prompt, Register
from pipeline.register.card_sections import card_appendix
from pipeline.register.costs import arm_costs, cost_sentence, read_usage
from pipeline.register.gate import apply_gate
from pipeline.register.model_card import detail_tables, model_card
from pipeline.register.plot_data import write_plot_data
from pipeline.register.report.page import best_baseline, report_page
from pipeline.register.verdict import arm_name, decide_verdict

log = logging.getLogger(__name__)


def release_digests(data: Path) -> dict[str, str]:
    """Digest what the model was made from and what came out, each step of the comparison from data to metrics."""
    steps = {
        "pairs": file_sha256(data / "ingest" / "pairs.parquet"),
        **{split: file_sha256(data / "validate" / f"{split}.parquet") for split in SPLITS},
        **{f"{split}_tokens": file_sha256(data / "tokenize" / f"{split}.arrow") for split in SPLITS},
        "initial_adapter": read_json(data / "finetune" / "report.json")["initial_adapter"],
        "history": file_sha256(data / "finetune" / "history.jsonl"),
        "adapter": file_sha256(weights_file(data / "finetune" / "adapter")),
        "adapter_folder": tree_digest(file_digests(data / "finetune" / "adapter")),
        "predictions": file_sha256(data / "evaluate" / "predictions.parquet"),
        "metrics": file_sha256(data / "evaluate" / "metrics.json"),
    }
    return {"base": read_json(data / "finetune" / "report.json")["base_digest"], **steps}


def read_evidence_files(data: Path) -> dict[str, Any]:
    """Read what the page shows of other stages: what was measured, what the baselines took, every answer by its row.

    And the learning curve, where one was measured.
    """
    evaluated = [f"evaluate/{name}.json" for name in ("metrics", "details", "cost", "forgetting")]
    names = (*evaluated, "baselines/report.json", "baselines/cost.json", "finetune/cost.json", "validate/report.json")
    answers = pq.read_table(data / "evaluate" / "predictions.parquet").to_pylist()
    suspected = pq.read_table(data / "baselines" / "label_errors.parquet").to_pylist()
    curve = [LEARNING_CURVE] if (data / LEARNING_CURVE).exists() else []
    return {
        **{name: read_json(data / name) for name in (*names, *curve)},
        "evaluate/predictions.parquet": {row["id"]: row for row in answers},
        "baselines/label_errors.parquet": {row["id"]: row for row in suspected},
    }


def cost_report_of(files: Mapping[str, Any], prices: Prices, worth: Mapping[str, Any]) -> dict[str, Any]:
    """Put the costs of all arms together, and say those of the baseline that the verdict speaks of."""
    costs = {line.arm: line for line in arm_costs(read_usage(files), prices)}
    baseline = best_baseline(worth)
    text = "" if baseline is None else cost_sentence(costs, baseline, arm_name(baseline), prices.currency)
    return {"prices": prices.model_dump(), "text": text, "lines": [asdict(line) for line in costs.values()]}


def decide(model: Model, prompt: Prompt, register: Register, data: Path) -> dict[str, Any]:
    """Decide whether the model becomes the champion and whether it was worth it, and record by what."""
    digests = release_digests(data)
    metrics, lost = (read_json(data / "evaluate" / f"{name}.json") for name in ("metrics", "forgetting"))
    checked = read_json(data / "validate" / "report.json")
    champion = read_champion(data / "champion")
    is_champion = champion is not None and champion.digest == digests["adapter"]
    rows = answered_prompt_hashes(data / "evaluate" / "predictions.parquet")
    use = count_holdout_uses(data / HOLDOUT_USES_FOLDER, rows, digests["adapter"])
    decision = apply_gate(metrics["comparisons"], register, use=use, is_champion=is_champion, lost=lost)
    return {
        "name": register.name,
        "verdict": decision.outcome,
        "reasons": decision.reasons,
        "checks": [asdict(check) for check in decision.checks],
        "worth": asdict(decide_verdict(metrics, register, use)),
        "held_out": {**asdict(use), "limit": register.max_holdout_uses},
        "champion_before": champion.digest if champion else None,
        "model": model.model_dump(),
        "prompt": prompt.model_dump(),
        "labels": read_json(data / "validate" / "labels.json"),
        "metrics": metrics,
        "rows": checked["splits"],
        "profile": checked["profile"],
        "training": read_json(data / "finetune" / "report.json"),
        "environment": read_json(data / "finetune" / "environment.json"),
        "digests": digests,
    }


def run(model: Model, prompt: Prompt, register: Register, prices: Prices, data: Path) -> None:
    """Decide, and write the release, its card, its page and its plots."""
    release = decide(model, prompt, register, data)
    files = read_evidence_files(data) | {"register/release.json": release}
    files["register/cost.json"] = cost = cost_report_of(files, prices, release["worth"])
    card = model_card(release) + detail_tables(files["evaluate/details.json"][FINETUNED]) + card_appendix(files)
    with atomic_folder(data / "register") as folder:
        write_json(folder / "release.json", release)
        write_json(folder / "cost.json", cost)
        write_use(folder / LAST_USE_FILE.name, answered_prompt_hashes(data / "evaluate" / "predictions.parquet"))
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / "report.html").write_text(report_page(files), encoding="utf-8")
        write_plot_data(folder / "plots", data / "finetune" / "history.jsonl", files)
    log.info("register: verdict: %s; %s", release["verdict"], "; ".join(release["reasons"]))
    log.info("register: worth it: %s %s", release["worth"]["text"], cost["text"])
