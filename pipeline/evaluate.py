"""Stage 5. Reads the test rows of data/validate/ and data/tokenize/, the adapter of data/finetune/, data/champion/.

Computes the answers of each arm (base model, fine-tuned, champion) on the same held-out rows, and their metrics.
Writes data/evaluate/: metrics.json, predictions.parquet, and pictures/: arms.png, confusion.png for labels.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import stage
from pipeline.champion import Champion, read_champion
from pipeline.classes import counts, macro_f1_of
from pipeline.comparisons import Terms, compare, compare_sets
from pipeline.generate import Answer, Manner, answer
from pipeline.metrics import Metric, Scores, chrf_of_rows, keeps, macro_f1, mean, share
from pipeline.model import load_base, merged, settle
from pipeline.pairs import Pair, read_json, read_pairs, write_json, write_table
from pipeline.params import Evaluate, Model, Prompt, Register, Rule
from pipeline.pictures import draw_arms, draw_confusion
from pipeline.prompt import Renderer, load_tokenizer
from pipeline.tokens import read_tokens
from pipeline.weights import Base, fetch

log = logging.getLogger(__name__)

BASE, TUNED, CHAMPION = "base", "fine-tuned", "champion"

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Arm:
    """One way to answer: a base model with or without an adapter, and the prompts it is given."""

    name: str
    base: Base
    model: Model
    adapter: Path | None
    renderer: Renderer
    prompts: Sequence[Sequence[int]]
    labels: Sequence[str]


def arms_of(
    model: Model,
    prompt: Prompt,
    labels: Sequence[str],
    test: Sequence[Pair],
    prompts: Sequence[Sequence[int]],
    data: Path,
) -> list[Arm]:
    """List the arms: the base model, the fine-tuned one, and the champion with its own base and its own prompt."""
    base = fetch(model)
    renderer = Renderer(load_tokenizer(base.folder), prompt.system)
    arms = [
        Arm(BASE, base, model, None, renderer, prompts, labels),
        Arm(TUNED, base, model, data / "finetune" / "adapter", renderer, prompts, labels),
    ]
    champion = read_champion(data / "champion")
    return arms if champion is None else [*arms, champion_arm(champion, test)]


def champion_arm(champion: Champion, test: Sequence[Pair]) -> Arm:
    """Let the champion answer the rows as it was trained to: its base, its system message, its labels."""
    model = Model(**champion.release["model"])
    base = fetch(model)
    renderer = Renderer(load_tokenizer(base.folder), champion.release["prompt"]["system"])
    prompts = [renderer.prompt(pair.messages) for pair in test]
    return Arm(CHAMPION, base, model, champion.adapter, renderer, prompts, champion.release["labels"])


def answers_of(arm: Arm, evaluate: Evaluate) -> list[Answer]:
    """Answer every row with one arm."""
    settle(arm.model, evaluate.seed)
    model = merged(load_base(arm.base.folder, arm.model), arm.adapter)
    manner = Manner(arm.labels, evaluate.max_new_tokens, evaluate.batch_rows)
    started = time.perf_counter()
    found = answer(model, arm.renderer, arm.prompts, manner, progress=f"evaluate {arm.name}")
    seconds = time.perf_counter() - started
    log.info("evaluate: %s: %d rows in %.0f s, %.1f rows/s", arm.name, len(found), seconds, len(found) / seconds)
    return found


def scores_of(
    task: str, expected: Sequence[str], answers: Sequence[Answer], rules: Sequence[Rule]
) -> dict[str, Scores]:
    """Score each row by every measure of the task, from 0 to 1.

    Held to the labels, no arm can answer with anything else; `free_label` tells what it would do if it were not: 1
    where the likeliest tokens by themselves are a label.
    """
    got = [found.text for found in answers]
    exact = np.array([float(want == answered) for want, answered in zip(expected, got, strict=True)])
    if task == "labels":
        return {"accuracy": exact, "free_label": np.array([float(found.free and found.held) for found in answers])}
    scores = {"exact_match": exact, "chrf": chrf_of_rows(expected, got)}
    if rules:
        kept = {f"rule:{rule.name}": np.array([float(keeps(rule, text)) for text in got]) for rule in rules}
        scores |= {"rules": np.array([np.min(row) for row in zip(*kept.values(), strict=True)]), **kept}
    return scores


def metrics_of(
    task: str, expected: Sequence[str], got: Sequence[str], scores: dict[str, Scores], evaluate: Evaluate
) -> dict[str, Metric]:
    """Sum up an arm: each measure over all rows, with its interval."""
    found = {
        name: mean(values, evaluate.resamples, evaluate.seed) if name == "chrf" else share(values)
        for name, values in scores.items()
    }
    if task == "labels":
        found["macro_f1"] = macro_f1(expected, got, evaluate.resamples, evaluate.seed)
    return found


def clean_metrics(
    task: str, expected: Sequence[str], got: Sequence[str], scores: dict[str, Scores], clean: Flags, evaluate: Evaluate
) -> dict[str, Metric]:  # fmt: skip
    """Sum up an arm once more over the test rows that training has nothing like; none if that is all of them."""
    if clean.all() or not clean.any():
        return {}
    rows = np.flatnonzero(clean).tolist()
    kept = {measure: values[rows] for measure, values in scores.items()}
    found = metrics_of(task, [expected[row] for row in rows], [got[row] for row in rows], kept, evaluate)
    return {f"{measure} clean": metric for measure, metric in found.items()}


def terms_of(evaluate: Evaluate, register: Register) -> Terms:
    """On which terms params want arms compared."""
    return Terms(evaluate.resamples, evaluate.seed, register.confidence, register.equivalent)


def compared(
    expected: Sequence[str], answers: dict[str, list[str]], scores: dict[str, dict[str, Scores]], terms: Terms,
    measure: str,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Compare the fine-tuned arm with each other one, on the measure that the gate goes by; labels one by one too."""
    tuned, found = scores[TUNED], {}
    for name, other in scores.items():
        if name == TUNED:
            continue
        found[name] = {**asdict(compare(measure, tuned[measure], other[measure], terms)), "classes": {}}
        if "accuracy" in tuned:
            of_labels = counts(expected, answers[TUNED], answers[name])
            of_tuned, of_other = (macro_f1_of(expected, answers[arm]) for arm in (TUNED, name))
            found[name] |= {
                "classes": {label: asdict(one) for label, one in of_labels.items()},
                "macro_f1": asdict(compare_sets("macro_f1", of_tuned, of_other, len(expected), terms)),
            }
    return found


def write_predictions(
    path: Path, test: Sequence[Pair], answers: dict[str, list[str]], scores: dict[str, dict[str, Scores]]
) -> None:
    """Write, row by row, what was asked, what was wanted, and what each arm said and scored."""
    text = [("id", pa.string()), ("prompt", pa.string()), ("expected", pa.string())]
    said = [(name, pa.string()) for name in answers]
    scored = [(f"{name} {measure}", pa.float64()) for name, of_arm in scores.items() for measure in of_arm]
    rows = [
        {
            "id": pair.id,
            "prompt": pair.prompt,
            "expected": pair.completion,
            **{name: said_by_arm[place] for name, said_by_arm in answers.items()},
            **{
                f"{name} {measure}": float(values[place])
                for name, of_arm in scores.items()
                for measure, values in of_arm.items()
            },
        }
        for place, pair in enumerate(test)
    ]
    write_table(path, rows, pa.schema([*text, *said, *scored]))


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


def summed(
    task: str, expected: Sequence[str], answers: dict[str, list[str]], scores: dict[str, dict[str, Scores]],
    clean: Flags, evaluate: Evaluate,
) -> dict[str, dict[str, Metric]]:  # fmt: skip
    """Sum up every arm, over all test rows and over the clean ones."""
    return {
        name: metrics_of(task, expected, got, scores[name], evaluate)
        | clean_metrics(task, expected, got, scores[name], clean, evaluate)
        for name, got in answers.items()
    }


def run(model: Model, prompt: Prompt, evaluate: Evaluate, register: Register, data: Path) -> None:
    """Answer the held-out rows with every arm, score them, and write all of it."""
    test, prompts = test_rows(data)
    labels = read_json(data / "validate" / "labels.json")
    expected = [pair.completion for pair in test]
    found = {arm.name: answers_of(arm, evaluate) for arm in arms_of(model, prompt, labels, test, prompts, data)}
    scores = {name: scores_of(prompt.task, expected, of_arm, evaluate.rules) for name, of_arm in found.items()}
    answers = {name: [given.text for given in of_arm] for name, of_arm in found.items()}
    arms = summed(prompt.task, expected, answers, scores, clean_rows(data, test), evaluate)
    metrics = {
        "task": prompt.task,
        "n": len(expected),
        "arms": {
            name: {measure: asdict(metric) for measure, metric in of_arm.items()} for name, of_arm in arms.items()
        },
        "comparisons": compared(expected, answers, scores, terms_of(evaluate, register), register.metric),
        "confidence": register.confidence,
    }
    for name, of_arm in arms.items():
        metric = of_arm[register.metric]
        told = f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f}), n={metric.n}"
        log.info("evaluate: %s: %s %s", name, register.metric, told)
    with stage.whole(data / "evaluate") as folder:
        write_json(folder / "metrics.json", metrics)
        write_predictions(folder / "predictions.parquet", test, answers, scores)
        (folder / "pictures").mkdir()
        draw_arms(metrics, folder / "pictures" / "arms.png")
        if labels:
            draw_confusion(expected, answers[TUNED], labels, folder / "pictures" / "confusion.png")


if __name__ == "__main__":
    stage.main(lambda params, data: run(params.model, params.prompt, params.evaluate, params.register, data))
