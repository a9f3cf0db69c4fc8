"""What is measured of answers, by the kind of task: scores of each row, numbers of all, and what they are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.generation.generate import Answer
from pipeline.metrics.calibration import calibration_error, reliability, sure_of
from pipeline.metrics.classification import classes, confused, macro_f1
from pipeline.metrics.json_fields import Structures, structures
from pipeline.metrics.metric import Metric, mean
from pipeline.metrics.out_of_scope import scope_metrics
from pipeline.metrics.rules import HouseRule
from pipeline.metrics.text import chrf_of_rows, exact_of_rows, length_ratio, rouge_l_of_rows
from pipeline.pairs import Pair
from pipeline.params import Evaluate
from pipeline.stats.bootstrap import Scores

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Marked:
    """The answers of an arm to the test rows, and the scores of each row, from 0 to 1, by measure."""

    task: str
    test: Sequence[Pair]
    answers: Sequence[Answer]
    scores: Mapping[str, Scores]

    @property
    def expected(self) -> list[str]:
        """What was wanted of each row."""
        return [pair.completion for pair in self.test]

    @property
    def got(self) -> list[str]:
        """What was said."""
        return [answer.text for answer in self.answers]

    @property
    def structures(self) -> Structures:
        """Both, as JSON."""
        return structures([pair.id for pair in self.test], self.expected, self.got)

    def only(self, rows: Flags) -> "Marked":
        """Take some of the rows."""
        places = np.flatnonzero(rows).tolist()
        scores = {measure: values[places] for measure, values in self.scores.items()}
        return Marked(self.task, [self.test[row] for row in places], [self.answers[row] for row in places], scores)


def marked(task: str, test: Sequence[Pair], answers: Sequence[Answer], rules: Sequence[HouseRule]) -> Marked:
    """Score each row by every measure of the task that a row has.

    Raises:
        Problem: If a completion of a JSON task is no JSON, or a rule's own code fails.
    """
    bare = Marked(task, test, answers, {})
    return Marked(task, test, answers, BY_TASK[task](bare) | rule_scores(bare, rules))


def label_scores(marked: Marked) -> dict[str, Scores]:
    """Score labels.

    Held to the labels, no arm can answer with anything else; `free_label` tells what it would do if it were not: 1
    where the likeliest tokens by themselves are a label.
    """
    free = np.array([float(answer.free and answer.held) for answer in marked.answers])
    return {"accuracy": exact_of_rows(marked.expected, marked.got), "free_label": free}


def text_scores(marked: Marked) -> dict[str, Scores]:
    """Score free texts."""
    return {
        "exact_match": exact_of_rows(marked.expected, marked.got),
        "chrf": chrf_of_rows(marked.expected, marked.got),
        "rouge_l": rouge_l_of_rows(marked.expected, marked.got),
    }


def json_scores(marked: Marked) -> dict[str, Scores]:
    """Score JSON."""
    return marked.structures.scores()


BY_TASK = {"labels": label_scores, "text": text_scores, "json": json_scores}


def rule_scores(marked: Marked, rules: Sequence[HouseRule]) -> dict[str, Scores]:
    """Score house rules: each by itself, and `rules`, the one that is kept worst."""
    rows = list(zip(marked.answers, marked.test, strict=True))
    kept = {
        f"rule:{rule.rule.name}": np.array([rule.score(answer.text, pair.prompt, pair.id) for answer, pair in rows])
        for rule in rules
    }
    return {"rules": np.min([*kept.values()], axis=0), **kept} if kept else {}


def metrics_of(marked: Marked, evaluate: Evaluate) -> dict[str, Metric]:
    """Sum up an arm: each measure over all rows, with its interval."""
    drawn = evaluate.bootstrap_resamples, evaluate.seed
    found = {measure: mean(scores, *drawn) for measure, scores in marked.scores.items()}
    if marked.task == "labels":
        found |= label_metrics(marked, evaluate)
    if marked.task == "text":
        ratio = length_ratio(marked.expected, marked.got, *drawn)
        found |= {} if ratio is None else {"length_ratio": ratio}
    if marked.task == "json":
        found["fields_f1_micro"] = marked.structures.micro_f1(*drawn)
    return found


def label_metrics(marked: Marked, evaluate: Evaluate) -> dict[str, Metric]:
    """Measure labels by what is of all rows together."""
    drawn, expected, got = (evaluate.bootstrap_resamples, evaluate.seed), marked.expected, marked.got
    found = {"macro_f1": macro_f1(expected, got, *drawn)}
    sure = sure_of([answer.probability for answer in marked.answers], marked.scores["accuracy"])
    if sure is not None:
        found["calibration_error"] = calibration_error(sure, *drawn)
    if evaluate.out_of_scope_label is not None:
        probability = None if sure is None else sure.probability
        found |= scope_metrics(evaluate.out_of_scope_label, expected, got, probability, *drawn)
    return found


def clean_metrics(marked: Marked, clean: Flags, evaluate: Evaluate) -> dict[str, Metric]:
    """Sum up an arm once more over the test rows that training has nothing like; none if that is all of them."""
    if clean.all() or not clean.any():
        return {}
    found = metrics_of(marked.only(clean), evaluate)
    return {f"{measure} clean": metric for measure, metric in found.items()}


def details_of(marked: Marked, evaluate: Evaluate) -> dict[str, Any]:
    """Tell what the numbers of an arm are made of: each label, how sure it was of them, each field of JSON."""
    if marked.task == "json":
        return {"fields": {path: asdict(metric) for path, metric in marked.structures.fields().items()}}
    if marked.task != "labels":
        return {}
    found = classes(marked.expected, marked.got, evaluate.bootstrap_resamples, evaluate.seed)
    sure = sure_of([answer.probability for answer in marked.answers], marked.scores["accuracy"])
    return {
        "classes": {
            label: {measure: asdict(metric) for measure, metric in of_label.items()}
            for label, of_label in found.items()
        },
        "confusion": confused(marked.expected, marked.got),
        "reliability": [] if sure is None else reliability(sure),
    }
