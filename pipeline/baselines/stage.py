"""Stage 4. Reads the rows of data/validate/ that data/tokenize/ kept, and rules/.

Computes the baselines' answers to the test rows: fitted on training rows, chosen on validation rows.
Writes data/baselines/: answers.parquet, report.json (what was chosen), cost.json (seconds, which differ by run),
label_errors.parquet (training rows whose label is likely wrong, for people to look at).
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.baselines.baseline import Baseline, BaselineReport, BaselineTask, prompt_messages
from pipeline.baselines.label_errors import (
    LABEL_ERRORS_FILE,
    LabelProbabilities,
    cross_fit_probabilities,
    find_label_errors,
    stratified_group_folds,
    write_label_errors,
)
from pipeline.baselines.logistic_regression import LogisticRegressionBaseline
from pipeline.baselines.registry import make_baselines
from pipeline.files import atomic_folder, read_json, write_json
from pipeline.generation.generate import GenerationConfig
from pipeline.generation.latency import elapsed_seconds, measure_latency
from pipeline.generation.predictions import BASELINE_PREDICTIONS, BaselinePrediction, write_baseline_predictions
from pipeline.metrics.rules import RULES_FOLDER, load_rules
from pipeline.model.adapters import seed_everything
from pipeline.model.tokenized import read_ids
from pipeline.pairs import SPLITS, Pair, read_pairs
from pipeline.params import Baselines, Model, Prompt, Rule

REPORTED_PACKAGES = ("bm25s", "numpy", "scikit-learn", "torch", "transformers")
"""What answers may depend on."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoringParams:
    """What of other sections the baselines go by: how answers are judged, and how long they may be."""

    metric: str
    rules: Sequence[Rule]
    max_new_tokens: int
    batch_size: int


@dataclass(frozen=True)
class BaselineRun:
    """What came of a baseline: its answers, what it tells of itself, and the seconds that it took."""

    predictions: list[BaselinePrediction]
    report: BaselineReport
    cost: dict[str, Any]


def run_baseline(baseline: Baseline, rows: Mapping[str, Sequence[Pair]], timed: int) -> BaselineRun:
    """Fit a baseline, let it answer the test rows, and time it.

    Args:
        baseline: The baseline.
        rows: Training, validation and test rows.
        timed: How many test rows are asked once more, one by one.
    """
    started = time.perf_counter()
    report = baseline.fit(rows["train"], rows["validation"])
    fitted = time.perf_counter()
    questions = [prompt_messages(pair) for pair in rows["test"]]
    answers = baseline.answer(questions)
    answered = time.perf_counter()
    requests = [elapsed_seconds(partial(baseline.answer, [question])) for question in questions[:timed]]
    took = {"fit_seconds": fitted - started, **measure_latency(answered - fitted, len(answers), requests)}
    return BaselineRun(answers, report | summarize_predictions(answers), took)


def summarize_predictions(answers: Sequence[BaselinePrediction]) -> BaselineReport:
    """Sum up what the answers took, and how many rows were given how many examples."""
    examples = Counter(given.examples for given in answers if given.examples is not None)
    return {
        "rows": len(answers),
        "tokens_in": sum_known([given.tokens_in for given in answers]),
        "tokens_out": sum_known([given.tokens_out for given in answers]),
        **({"rows_by_examples": {str(many): examples[many] for many in sorted(examples)}} if examples else {}),
    }


def sum_known(numbers: Sequence[int | None]) -> int | None:
    """Add up numbers; None if one of them is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def tokenized_pairs(data: Path) -> dict[str, list[Pair]]:
    """Read the rows of each split that tokenize kept."""
    pairs = {}
    for split in SPLITS:
        by_id = {pair.id: pair for pair in read_pairs(data / "validate" / f"{split}.parquet")}
        pairs[split] = [by_id[pair_id] for pair_id in read_ids(data / "tokenize" / f"{split}.arrow")]
    return pairs


def log_baseline(name: str, run: BaselineRun) -> None:
    """Log what a baseline took, and who was given less than the others."""
    cost, report = run.cost, run.report
    log.info(
        "baselines: %s: fitted in %.1f s, %d rows in %.1f s, a request in %.2f s", name, cost["fit_seconds"],
        report["rows"], cost["answer_seconds"], cost["request_seconds"]["p50"] or 0.0,
    )  # fmt: skip
    by_examples = report.get("rows_by_examples", {})
    fewer = {many: rows for many, rows in by_examples.items() if int(many) < report["examples_wanted"]}
    if fewer:
        rows = ", ".join(f"{rows} rows have {many}" for many, rows in fewer.items())
        log.warning("baselines: %s: not all %d examples fit: %s", name, report["examples_wanted"], rows)


def log_summary(runs: Mapping[str, BaselineRun], looked_at: int, suspected: int) -> None:
    """Log what all baselines took, which of them the most, and how many labels may be wrong."""
    took = {name: sum(of.cost[part] for part in ("fit_seconds", "answer_seconds")) for name, of in runs.items()}
    most = max(took, key=took.__getitem__)
    log.info("baselines: %.0f s in all, of which %s took %.0f s", sum(took.values()), most, took[most])
    if looked_at:
        log.info(
            "baselines: %d of %d training rows may have a wrong label: `tunesmith check-data`", suspected, looked_at
        )


def run(model: Model, prompt: Prompt, baselines: Baselines, judged: ScoringParams, data: Path) -> None:
    """Let each baseline answer the test rows, and write all of it."""
    rows, labels = tokenized_pairs(data), read_json(data / "validate" / "labels.json")
    wanted = BaselineTask(prompt.task, labels, judged.metric, load_rules(judged.rules, data.parent / RULES_FOLDER))
    manner = GenerationConfig(labels, judged.max_new_tokens, judged.batch_size)
    seed_everything(model, baselines.seed)
    runs, looked = dict[str, BaselineRun](), dict[str, LabelProbabilities]()
    folds = stratified_group_folds(rows["train"], baselines.seed) if prompt.task == "labels" else []
    given = [pair.completion for pair in rows["train"]]
    for name, baseline in make_baselines(baselines, model, prompt.system, wanted, manner):
        runs[name] = run_baseline(baseline, rows, baselines.latency_rows)
        log_baseline(name, runs[name])
        if folds and isinstance(baseline, LogisticRegressionBaseline):
            looked[name] = cross_fit_probabilities(
                baseline.train_features, given, baseline.inverse_regularization, folds
            )
    suspected = find_label_errors(rows["train"], looked)
    log_summary(runs, len(given) if looked else 0, len(suspected))
    report = {
        "packages": {name: version(name) for name in REPORTED_PACKAGES},
        "baselines": {name: of_baseline.report for name, of_baseline in runs.items()},
        "label_errors": {
            "looked_at": len(given) if looked else 0, "suspected": len(suspected), "by": [*looked],
        },
    }  # fmt: skip
    with atomic_folder(data / "baselines") as folder:
        ids = [pair.id for pair in rows["test"]]
        write_baseline_predictions(
            folder / BASELINE_PREDICTIONS, ids, {name: of_baseline.predictions for name, of_baseline in runs.items()}
        )
        write_json(folder / "report.json", report)
        write_label_errors(folder / LABEL_ERRORS_FILE, suspected)
        write_json(folder / "cost.json", {name: of_baseline.cost for name, of_baseline in runs.items()})
