"""Not a stage: what `tunesmith learning-curve` starts. Reads what tokenize, validate, finetune and evaluate left.

Computes models of shares of the training rows, by the very training and answering of the stages, and what more rows
would bring. A share whose model answered already, from the same rows, params and code, is not trained again.
Writes data/learning_curve/: curve.json, and cost.json (seconds, which differ from run to run).
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import pipeline
from pipeline.arms import FINETUNED
from pipeline.arrays import Floats
from pipeline.artifacts import LEARNING_CURVE
from pipeline.evaluate.models import TrainedModel, answer_with
from pipeline.evaluate.stage import read_test_rows
from pipeline.files import atomic_write, read_json, write_json
from pipeline.finetune import stage as finetune
from pipeline.generation.generate import Prediction
from pipeline.hashing import file_digests, file_sha256, tree_digest, weights_file
from pipeline.learning_curve.analysis import analyze_growth, labels_needing_data
from pipeline.learning_curve.subsets import choose_subset
from pipeline.metrics.metric import mean_metric
from pipeline.metrics.rules import RULES_FOLDER, load_rules
from pipeline.metrics.scoring import score_predictions
from pipeline.model.base_model import fetch_base_model
from pipeline.model.chat_template import PromptEncoder, load_tokenizer
from pipeline.model.tokenized import read_ids, read_tokens, write_tokens
from pipeline.pairs import Pair, read_pairs
from pipeline.params import Params

CURVE_CODE = Path(pipeline.__file__).parent

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CurvePoint:
    """A model of a share of the rows: the rows, the optimizer steps, the score of each test row, what it said."""

    share: float
    rows: int
    steps: int
    seconds: float
    scores: Floats
    got: list[str]


def run(params: Params, data: Path, checkpoints: Path, shares: Sequence[float]) -> None:
    """Train and measure each share, put the whole beside them, and write what they say.

    Args:
        params: All of params.yaml.
        data: The folder of all stages.
        checkpoints: Where what was trained is kept, to go on from.
        shares: Rising, each above 0 and below 1.
    """
    test, prompts = read_test_rows(data)
    labels = {pair.id: pair.completion for pair in read_pairs(data / "validate" / "train.parquet")}
    ids = read_ids(data / "tokenize" / "train.arrow")
    strata = [labels[pair_id] if params.prompt.task == "labels" else "" for pair_id in ids]
    points = []
    for share in shares:
        chosen = choose_subset(strata, share, params.finetune.seed)
        log.info("curve: %s of %s training rows, %.3g %%", f"{len(chosen):,}", f"{len(ids):,}", 100 * share)
        folder = train_subset(params, data, checkpoints, [ids[row] for row in chosen])
        points.append(score_subset(params, share, folder, test, answer_subset(params, data, folder, prompts)))
        log_point(points[-1], params)
    points.append(full_data_point(params, data, len(ids), test))
    log_point(points[-1], params)
    strata = strata if params.prompt.task == "labels" else []
    write_curve(params, data, points, test, strata)


def train_subset(params: Params, data: Path, checkpoints: Path, ids: Sequence[str]) -> Path:
    """Train on some of the rows as the stage does, unless that was done; in one process, which learns the same."""
    chosen = set(ids)
    rows = [row for row in read_tokens(data / "tokenize" / "train.arrow") if row[0] in chosen]
    recipe = {
        "model": params.model.model_dump(),
        "finetune": params.finetune.model_dump(),
        "base": fetch_base_model(params.model).digest,
        "rows": list(ids),
        "tokens": [file_sha256(data / "tokenize" / f"{split}.arrow") for split in ("train", "validation")],
        "code": tree_digest(
            {path: digest for path, digest in file_digests(CURVE_CODE).items() if path.endswith(".py")}
        ),
    }
    folder = checkpoints / hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    if not (folder / "finetune").exists():
        (folder / "tokenize").mkdir(parents=True, exist_ok=True)
        every_turn = any(encoded.prompt_spans for _, encoded in rows)
        write_tokens(folder / "tokenize" / "train.arrow", rows, every_turn=every_turn)
        (folder / "tokenize" / "validation.arrow").write_bytes((data / "tokenize" / "validation.arrow").read_bytes())
        finetune.train_and_write(params.model, params.finetune.model_copy(update={"processes": 1}), folder)
    return folder


def answer_subset(params: Params, data: Path, folder: Path, prompts: Sequence[Sequence[int]]) -> list[Prediction]:
    """Answer the test rows with a model as the evaluation does, unless it answered the same ones already."""
    labels = read_json(data / "validate" / "labels.json")
    asked = [params.prompt.system, params.evaluate.batch_size, params.evaluate.max_new_tokens, labels, list(prompts)]
    name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    path = folder / f"answers-{name}.json"
    if not path.exists():
        base = fetch_base_model(params.model)
        renderer = PromptEncoder(load_tokenizer(base.folder), params.prompt.system)
        arm = TrainedModel(FINETUNED, base, params.model, folder / "finetune" / "adapter", renderer, prompts, labels)
        answers = answer_with(arm, params.evaluate, timed=0).predictions
        with atomic_write(path) as part:
            write_json(part, [asdict(answer) for answer in answers])
    return [Prediction(**answer) for answer in read_json(path)]


def score_subset(
    params: Params, share: float, folder: Path, test: Sequence[Pair], answers: Sequence[Prediction]
) -> CurvePoint:
    """Score the answers of a share as the evaluation does."""
    rules = load_rules(params.evaluate.rules, Path(RULES_FOLDER))
    scored = score_predictions(params.prompt.task, test, answers, rules)
    report, cost = (read_json(folder / "finetune" / f"{name}.json") for name in ("report", "cost"))
    scores = scored.scores[params.register.metric]
    return CurvePoint(share, report["rows"], report["steps"], cost["seconds"], scores, scored.predicted)


def full_data_point(params: Params, data: Path, rows: int, test: Sequence[Pair]) -> CurvePoint:
    """Take the model of all rows, which the stages made and measured."""
    answers = pq.read_table(data / "evaluate" / "predictions.parquet").to_pydict()
    if answers["id"] != [pair.id for pair in test]:
        raise ValueError("the stages measured other test rows than they made")
    report, cost = (read_json(data / "finetune" / f"{name}.json") for name in ("report", "cost"))
    scores = np.array(answers[f"{FINETUNED} {params.register.metric}"], float)
    return CurvePoint(1.0, rows, report["steps"], cost["seconds"], scores, answers[FINETUNED])


def log_point(point: CurvePoint, params: Params) -> None:
    """Log what a share has."""
    metric = mean_metric(point.scores, params.evaluate.bootstrap_resamples, params.evaluate.seed)
    interval = f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f}), n={metric.n}"
    log.info("curve: %s rows: %s %s", f"{point.rows:,}", params.register.metric, interval)


def write_curve(
    params: Params, data: Path, points: Sequence[CurvePoint], test: Sequence[Pair], strata: Sequence[str]
) -> None:
    """Write what the shares say, all of it about the model that the stages made."""
    evaluate, metric = params.evaluate, params.register.metric
    rows, scores = np.array([point.rows for point in points], float), np.array([point.scores for point in points])
    shares: list[dict[str, Any]] = [
        {"share": point.share, "rows": point.rows, "steps": point.steps,
         **asdict(mean_metric(point.scores, evaluate.bootstrap_resamples, evaluate.seed))}
        for point in points
    ]  # fmt: skip
    curve = {
        "adapter": file_sha256(weights_file(data / "finetune" / "adapter")),
        "test": file_sha256(data / "validate" / "test.parquet"),
        "metric": metric,
        "shares": shares,
        **analyze_growth(rows, scores, metric, evaluate.bootstrap_resamples, evaluate.seed),
        "labels": labels_needing_data(strata, [pair.completion for pair in test], [point.got for point in points[-2:]]),
    }
    write_json(data / LEARNING_CURVE, curve)
    seconds = [{"share": point.share, "seconds": point.seconds} for point in points]
    write_json((data / LEARNING_CURVE).with_name("cost.json"), seconds)
