"""Stage 6. Reads the test rows of data/validate/ and data/tokenize/, data/baselines/, data/finetune/, data/champion/.

Computes the answers of the fine-tuned model and the champion, and the metrics of all arms on the same held-out rows, by
task and by the house rules, which may name files in rules/; and what the fine-tuned model forgot, on general texts.
Writes data/evaluate/: metrics.json, details.json (what they are made of), predictions.parquet, forgetting.json (what of
the base model was unlearnt), and cost.json (seconds, which differ from run to run).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.arms import FINETUNED
from pipeline.arrays import Bools
from pipeline.errors import UserError
from pipeline.evaluate.general_knowledge import read_probe
from pipeline.evaluate.models import answer_with, forgetting_of, trained_models
from pipeline.files import atomic_folder, read_json, write_json
from pipeline.generation.generate import Prediction
from pipeline.generation.predictions import BASELINE_PREDICTIONS, read_baseline_predictions
from pipeline.metrics.classification import macro_f1_statistic
from pipeline.metrics.rules import RULES_FOLDER, load_rules
from pipeline.metrics.scoring import (
    ScoredPredictions,
    decontaminated_metrics,
    score_details,
    score_predictions,
    summarize_scores,
)
from pipeline.model.tokenized import read_tokens
from pipeline.pairs import Pair, read_pairs
from pipeline.params import Evaluate, Model, Prompt, Register
from pipeline.stats.label_counts import count_labels
from pipeline.stats.paired_comparison import ComparisonSettings, compare_scores, compare_statistics

log = logging.getLogger(__name__)


def baseline_answers(data: Path, test: Sequence[Pair]) -> dict[str, list[Prediction]]:
    """Read the answers of the baselines; what has no other answers than labels says them by itself.

    Raises:
        UserError: If they answered other rows.
    """
    answers = read_baseline_predictions(data / "baselines" / BASELINE_PREDICTIONS, [pair.id for pair in test])
    return {
        name: [
            Prediction(given.text, given.free is not False, given.held is not False, given.probability)
            for given in of_baseline
        ]
        for name, of_baseline in answers.items()
    }


def comparison_settings(evaluate: Evaluate, register: Register) -> ComparisonSettings:
    """Read the settings of comparisons from params."""
    return ComparisonSettings(
        evaluate.bootstrap_resamples, evaluate.seed, register.confidence, register.non_inferiority_margin
    )


def compare_arms(
    arms: Mapping[str, ScoredPredictions], terms: ComparisonSettings, measure: str
) -> dict[str, dict[str, Any]]:
    """Compare the fine-tuned arm with each other one, on the measure that the gate goes by; labels one by one too."""
    tuned, comparisons = arms[FINETUNED], {}
    for name, other in arms.items():
        if name == FINETUNED:
            continue
        comparisons[name] = {
            **asdict(compare_scores(measure, tuned.scores[measure], other.scores[measure], terms)),
            "classes": {},
        }
        if tuned.task == "labels":
            of_labels = count_labels(tuned.expected, tuned.predicted, other.predicted)
            of_tuned, of_other = (macro_f1_statistic(tuned.expected, arm.predicted) for arm in (tuned, other))
            comparisons[name] |= {
                "classes": {label: asdict(one) for label, one in of_labels.items()},
                "macro_f1": asdict(compare_statistics("macro_f1", of_tuned, of_other, len(tuned.test_pairs), terms)),
            }
    return comparisons


def write_predictions(path: Path, test: Sequence[Pair], arms: Mapping[str, ScoredPredictions]) -> None:
    """Write, row by row, what was asked, what was wanted, and what each arm said and scored.

    Labels have the probability that the arm gave to what it said; null where an arm has none.
    """
    columns: dict[str, tuple[pa.DataType, Any]] = {
        "id": (pa.string(), [pair.id for pair in test]),
        "prompt": (pa.string(), [pair.prompt for pair in test]),
        "expected": (pa.string(), [pair.completion for pair in test]),
        **{name: (pa.string(), arm.predicted) for name, arm in arms.items()},
    }
    for name, arm in arms.items():
        if arm.task == "labels":
            columns[f"{name} probability"] = (pa.float64(), [answer.probability for answer in arm.predictions])
        columns |= {f"{name} {measure}": (pa.float64(), values) for measure, values in arm.scores.items()}
    arrays = {name: pa.array(values, kind) for name, (kind, values) in columns.items()}
    pq.write_table(pa.table(arrays), path, compression="zstd")


def decontaminated_rows(data: Path, test: Sequence[Pair]) -> Bools:
    """Say which test rows have no near-duplicate that was trained on."""
    overlaps = pq.read_table(data / "validate" / "overlaps.parquet", columns=["test_id", "trained"]).to_pylist()
    known = {row["test_id"] for row in overlaps if row["trained"]}
    return np.array([pair.id not in known for pair in test], bool)


def read_test_rows(data: Path) -> tuple[list[Pair], list[list[int]]]:
    """Read the test rows that tokenize kept, with their prompt tokens."""
    by_id = {pair.id: pair for pair in read_pairs(data / "validate" / "test.parquet")}
    tokens = read_tokens(data / "tokenize" / "test.arrow")
    return [by_id[pair_id] for pair_id, _ in tokens], [encoded.prompt_ids for _, encoded in tokens]


def measure_arms(
    arms: Mapping[str, ScoredPredictions], clean: Bools, evaluate: Evaluate, register: Register
) -> dict[str, Any]:
    """Measure every arm, over all test rows and over the clean ones, and compare them."""
    return {
        "arms": {
            name: {
                measure: asdict(metric)
                for measure, metric in (
                    summarize_scores(arm, evaluate) | decontaminated_metrics(arm, clean, evaluate)
                ).items()
            }
            for name, arm in arms.items()
        },
        "metric": register.metric,
        "comparisons": compare_arms(arms, comparison_settings(evaluate, register), register.metric),
        "confidence": register.confidence,
    }


def run(model: Model, prompt: Prompt, evaluate: Evaluate, register: Register, data: Path, *, timed: int) -> None:
    """Answer the held-out rows with every arm, score them, and write all of it.

    Raises:
        UserError: Before anything is answered, if a house rule or a general text cannot be read, or no label is for
            out of scope.
    """
    test, prompts = read_test_rows(data)
    labels, rules = read_json(data / "validate" / "labels.json"), load_rules(evaluate.rules, data.parent / RULES_FOLDER)
    require_label(evaluate.out_of_scope_label, labels)
    general = read_probe(data.parent / evaluate.forgetting_probe)
    predictions = baseline_answers(data, test)
    trained = trained_models(model, prompt, labels, test, prompts, data)
    answered = {arm.name: answer_with(arm, evaluate, timed) for arm in trained}
    predictions |= {name: values.predictions for name, values in answered.items()}
    arms = {name: score_predictions(prompt.task, test, answers, rules) for name, answers in predictions.items()}
    metrics = {
        "task": prompt.task,
        "n": len(test),
        **measure_arms(arms, decontaminated_rows(data, test), evaluate, register),
    }
    for name, values in metrics["arms"].items():
        metric = values[register.metric]
        interval = f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f}), n={metric['n']}"
        log.info("evaluate: %s: %s %s", name, register.metric, interval)
    lost = forgetting_of(trained[0], evaluate, comparison_settings(evaluate, register), general)
    details = {name: score_details(arm, evaluate) for name, arm in arms.items()}
    with atomic_folder(data / "evaluate") as folder:
        write_json(folder / "metrics.json", metrics)
        write_json(folder / "details.json", details)
        write_json(folder / "forgetting.json", lost)
        write_json(folder / "cost.json", {name: values.cost for name, values in answered.items()})
        write_predictions(folder / "predictions.parquet", test, arms)


def require_label(out_of_scope: str | None, labels: Sequence[str]) -> None:
    """Refuse a label for what is out of scope that no pair has."""
    if out_of_scope is not None and out_of_scope not in labels:
        raise UserError(
            "evaluate.out_of_scope_label",
            "no pair has this label",
            expected=f"null, or one of {', '.join(labels)}",
            got=out_of_scope,
            do="name the label that says so",
        )
