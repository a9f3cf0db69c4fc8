"""Stage 6. Reads the test rows of data/validate/ and data/tokenize/, data/baselines/, data/finetune/, data/champion/.

Computes the answers of the fine-tuned model and the champion, and the metrics of all arms on the same held-out rows, by
task and by the house rules, which may name files in rules/; and what the fine-tuned model forgot, on general texts.
Writes data/evaluate/: metrics.json, details.json (what they are made of), predictions.parquet, forgetting.json (what of
the base model was unlearnt), pictures/, and cost.json (seconds, which differ from run to run).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import runner
from pipeline.errors import Problem
from pipeline.evaluate.general_knowledge import read_general
from pipeline.evaluate.models import TUNED, answers_of, arms_of, forgotten
from pipeline.evaluate.plots import draw_arms, draw_confusion, draw_reliability
from pipeline.files import read_json, write_json
from pipeline.generation.generate import Answer
from pipeline.generation.predictions import ANSWERS, read_answers
from pipeline.metrics.classification import macro_f1_of
from pipeline.metrics.rules import FOLDER, load_rules
from pipeline.metrics.scoring import Flags, Marked, clean_metrics, details_of, marked, metrics_of
from pipeline.model.tokenized import read_tokens
from pipeline.pairs import Pair, read_pairs
from pipeline.params import Evaluate, Model, Prompt, Register
from pipeline.stats.label_counts import counts
from pipeline.stats.paired_comparison import Terms, compare, compare_sets

log = logging.getLogger(__name__)


def baseline_answers(data: Path, test: Sequence[Pair]) -> dict[str, list[Answer]]:
    """Read the answers of the baselines; what has no other answers than labels says them by itself.

    Raises:
        Problem: If they answered other rows.
    """
    found = read_answers(data / "baselines" / ANSWERS, [pair.id for pair in test])
    return {
        name: [
            Answer(given.text, given.free is not False, given.held is not False, given.probability)
            for given in of_baseline
        ]
        for name, of_baseline in found.items()
    }


def terms_of(evaluate: Evaluate, register: Register) -> Terms:
    """On which terms params want arms compared."""
    return Terms(evaluate.bootstrap_resamples, evaluate.seed, register.confidence, register.non_inferiority_margin)


def compared(arms: Mapping[str, Marked], terms: Terms, measure: str) -> dict[str, dict[str, Any]]:
    """Compare the fine-tuned arm with each other one, on the measure that the gate goes by; labels one by one too."""
    tuned, found = arms[TUNED], {}
    for name, other in arms.items():
        if name == TUNED:
            continue
        found[name] = {**asdict(compare(measure, tuned.scores[measure], other.scores[measure], terms)), "classes": {}}
        if tuned.task == "labels":
            of_labels = counts(tuned.expected, tuned.got, other.got)
            of_tuned, of_other = (macro_f1_of(tuned.expected, arm.got) for arm in (tuned, other))
            found[name] |= {
                "classes": {label: asdict(one) for label, one in of_labels.items()},
                "macro_f1": asdict(compare_sets("macro_f1", of_tuned, of_other, len(tuned.test), terms)),
            }
    return found


def write_predictions(path: Path, test: Sequence[Pair], arms: Mapping[str, Marked]) -> None:
    """Write, row by row, what was asked, what was wanted, and what each arm said and scored.

    Labels have the probability that the arm gave to what it said; null where an arm has none.
    """
    columns: dict[str, tuple[pa.DataType, Any]] = {
        "id": (pa.string(), [pair.id for pair in test]),
        "prompt": (pa.string(), [pair.prompt for pair in test]),
        "expected": (pa.string(), [pair.completion for pair in test]),
        **{name: (pa.string(), arm.got) for name, arm in arms.items()},
    }
    for name, arm in arms.items():
        if arm.task == "labels":
            columns[f"{name} probability"] = (pa.float64(), [answer.probability for answer in arm.answers])
        columns |= {f"{name} {measure}": (pa.float64(), values) for measure, values in arm.scores.items()}
    arrays = {name: pa.array(values, kind) for name, (kind, values) in columns.items()}
    pq.write_table(pa.table(arrays), path, compression="zstd")


def clean_rows(data: Path, test: Sequence[Pair]) -> Flags:
    """Say which test rows have no near-duplicate that was trained on."""
    found = pq.read_table(data / "validate" / "overlaps.parquet", columns=["test_id", "trained"]).to_pylist()
    known = {row["test_id"] for row in found if row["trained"]}
    return np.array([pair.id not in known for pair in test], bool)


def test_rows(data: Path) -> tuple[list[Pair], list[list[int]]]:
    """Read the test rows that tokenize kept, with their prompt tokens."""
    by_id = {pair.id: pair for pair in read_pairs(data / "validate" / "test.parquet")}
    tokens = read_tokens(data / "tokenize" / "test.arrow")
    return [by_id[pair_id] for pair_id, _ in tokens], [encoded.prompt_ids for _, encoded in tokens]


def measured(arms: Mapping[str, Marked], clean: Flags, evaluate: Evaluate, register: Register) -> dict[str, Any]:
    """Measure every arm, over all test rows and over the clean ones, and compare them."""
    return {
        "arms": {
            name: {
                measure: asdict(metric)
                for measure, metric in (metrics_of(arm, evaluate) | clean_metrics(arm, clean, evaluate)).items()
            }
            for name, arm in arms.items()
        },
        "metric": register.metric,
        "comparisons": compared(arms, terms_of(evaluate, register), register.metric),
        "confidence": register.confidence,
    }


def draw(tuned: Marked, metrics: dict[str, Any], details: dict[str, Any], labels: Sequence[str], folder: Path) -> None:
    """Draw the pictures of an evaluation: all arms, and for labels what the fine-tuned one takes for what."""
    folder.mkdir()
    draw_arms(metrics, folder / "arms.png")
    if labels:
        draw_confusion(tuned.expected, tuned.got, labels, folder / "confusion.png")
    if details.get("reliability"):
        draw_reliability(details["reliability"], folder / "reliability.png")


def run(model: Model, prompt: Prompt, evaluate: Evaluate, register: Register, data: Path, *, timed: int) -> None:
    """Answer the held-out rows with every arm, score them, and write all of it.

    Raises:
        Problem: Before anything is answered, if a house rule or a general text cannot be read, or no label is that for
            out of scope.
    """
    test, prompts = test_rows(data)
    labels, rules = read_json(data / "validate" / "labels.json"), load_rules(evaluate.rules, data.parent / FOLDER)
    need_label(evaluate.out_of_scope_label, labels)
    general = read_general(data.parent / evaluate.forgetting_probe)
    found = baseline_answers(data, test)
    trained = arms_of(model, prompt, labels, test, prompts, data)
    done = {arm.name: answers_of(arm, evaluate, timed) for arm in trained}
    found |= {name: of_arm.answers for name, of_arm in done.items()}
    arms = {name: marked(prompt.task, test, answers, rules) for name, answers in found.items()}
    metrics = {"task": prompt.task, "n": len(test), **measured(arms, clean_rows(data, test), evaluate, register)}
    for name, of_arm in metrics["arms"].items():
        metric = of_arm[register.metric]
        told = f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f}), n={metric['n']}"
        log.info("evaluate: %s: %s %s", name, register.metric, told)
    lost = forgotten(trained[0], evaluate, terms_of(evaluate, register), general)
    details = {name: details_of(arm, evaluate) for name, arm in arms.items()}
    with runner.whole(data / "evaluate") as folder:
        write_json(folder / "metrics.json", metrics)
        write_json(folder / "details.json", details)
        write_json(folder / "forgetting.json", lost)
        write_json(folder / "cost.json", {name: of_arm.cost for name, of_arm in done.items()})
        write_predictions(folder / "predictions.parquet", test, arms)
        draw(arms[TUNED], metrics, details[TUNED], labels, folder / "pictures")


def need_label(out_of_scope: str | None, labels: Sequence[str]) -> None:
    """Refuse a label for what is out of scope that no pair has."""
    if out_of_scope is not None and out_of_scope not in labels:
        raise Problem(
            "evaluate.out_of_scope_label",
            "no pair has this label",
            expected=f"null, or one of {', '.join(labels)}",
            got=out_of_scope,
            do="name the label that says so",
        )
