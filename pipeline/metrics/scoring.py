"""Scores predictions by task: row scores, summary metrics and their details."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Bools, Floats
from pipeline.generation.generate import Prediction
from pipeline.metrics.calibration import confidences_of, expected_calibration_error, reliability_bins
from pipeline.metrics.classification import confusion_counts, label_metrics_table, macro_f1
from pipeline.metrics.json_fields import JsonFieldScores, read_structures
from pipeline.metrics.metric import Metric, mean_metric
from pipeline.metrics.out_of_scope import out_of_scope_metrics
from pipeline.metrics.rules import LoadedRule
from pipeline.metrics.text import chrf_scores, exact_match_scores, length_ratio, rouge_l_scores
from pipeline.pairs import Pair
from pipeline.params import Evaluate


@dataclass(frozen=True)
class ScoredPredictions:
    """The answers of an arm to the test rows, and the scores of each row, from 0 to 1, by measure."""

    task: str
    test_pairs: Sequence[Pair]
    predictions: Sequence[Prediction]
    scores: Mapping[str, Floats]

    @property
    def expected(self) -> list[str]:
        """What was wanted of each row."""
        return [pair.completion for pair in self.test_pairs]

    @property
    def predicted(self) -> list[str]:
        """What was said."""
        return [answer.text for answer in self.predictions]

    @property
    def json_field_scores(self) -> JsonFieldScores:
        """Both, as JSON."""
        return read_structures([pair.id for pair in self.test_pairs], self.expected, self.predicted)

    def subset(self, rows: Bools) -> "ScoredPredictions":
        """Take some of the rows."""
        indices = np.flatnonzero(rows).tolist()
        scores = {measure: values[indices] for measure, values in self.scores.items()}
        return ScoredPredictions(
            self.task, [self.test_pairs[row] for row in indices], [self.predictions[row] for row in indices], scores
        )


def score_predictions(
    task: str, test: Sequence[Pair], answers: Sequence[Prediction], rules: Sequence[LoadedRule]
) -> ScoredPredictions:
    """Score each row by every measure of the task that a row has.

    Raises:
        UserError: If a completion of a JSON task is no JSON, or a rule's own code fails.
    """
    bare = ScoredPredictions(task, test, answers, {})
    return ScoredPredictions(task, test, answers, SCORERS[task](bare) | rule_scores(bare, rules))


def label_scores(marked: ScoredPredictions) -> dict[str, Floats]:
    """Score labels.

    Held to the labels, no arm can answer with anything else; `free_label` tells what it would do if it were not: 1
    where the most likely tokens by themselves are a label.
    """
    free = np.array([float(answer.free and answer.held) for answer in marked.predictions])
    return {"accuracy": exact_match_scores(marked.expected, marked.predicted), "free_label": free}


def text_scores(marked: ScoredPredictions) -> dict[str, Floats]:
    """Score free texts."""
    return {
        "exact_match": exact_match_scores(marked.expected, marked.predicted),
        "chrf": chrf_scores(marked.expected, marked.predicted),
        "rouge_l": rouge_l_scores(marked.expected, marked.predicted),
    }


def json_scores(marked: ScoredPredictions) -> dict[str, Floats]:
    """Score JSON."""
    return marked.json_field_scores.row_scores()


SCORERS = {"labels": label_scores, "text": text_scores, "json": json_scores}


def rule_scores(marked: ScoredPredictions, rules: Sequence[LoadedRule]) -> dict[str, Floats]:
    """Score house rules: each by itself, and `rules`, the one that is kept worst."""
    rows = list(zip(marked.predictions, marked.test_pairs, strict=True))
    kept = {
        f"rule:{rule.rule.name}": np.array([rule.score(answer.text, pair.prompt, pair.id) for answer, pair in rows])
        for rule in rules
    }
    return {"rules": np.min([*kept.values()], axis=0), **kept} if kept else {}


def summarize_scores(marked: ScoredPredictions, evaluate: Evaluate) -> dict[str, Metric]:
    """Sum up an arm: each measure over all rows, with its interval."""
    drawn = evaluate.bootstrap_resamples, evaluate.seed
    metrics = {measure: mean_metric(scores, *drawn) for measure, scores in marked.scores.items()}
    if marked.task == "labels":
        metrics |= label_metrics(marked, evaluate)
    if marked.task == "text":
        ratio = length_ratio(marked.expected, marked.predicted, *drawn)
        metrics |= {} if ratio is None else {"length_ratio": ratio}
    if marked.task == "json":
        metrics["fields_f1_micro"] = marked.json_field_scores.micro_f1(*drawn)
    return metrics


def label_metrics(marked: ScoredPredictions, evaluate: Evaluate) -> dict[str, Metric]:
    """Measure labels by what is of all rows together."""
    drawn, expected, got = (evaluate.bootstrap_resamples, evaluate.seed), marked.expected, marked.predicted
    metrics = {"macro_f1": macro_f1(expected, got, *drawn)}
    sure = confidences_of([answer.probability for answer in marked.predictions], marked.scores["accuracy"])
    if sure is not None:
        metrics["calibration_error"] = expected_calibration_error(sure, *drawn)
    if evaluate.out_of_scope_label is not None:
        probability = None if sure is None else sure.probabilities
        metrics |= out_of_scope_metrics(evaluate.out_of_scope_label, expected, got, probability, *drawn)
    return metrics


def decontaminated_metrics(marked: ScoredPredictions, clean: Bools, evaluate: Evaluate) -> dict[str, Metric]:
    """Sum up an arm once more over the test rows that training has nothing like; none if that is all of them."""
    if clean.all() or not clean.any():
        return {}
    metrics = summarize_scores(marked.subset(clean), evaluate)
    return {f"{measure} clean": metric for measure, metric in metrics.items()}


def score_details(marked: ScoredPredictions, evaluate: Evaluate) -> dict[str, Any]:
    """Tell what the numbers of an arm are made of: each label, how sure it was of them, each field of JSON."""
    if marked.task == "json":
        return {"fields": {path: asdict(metric) for path, metric in marked.json_field_scores.field_metrics().items()}}
    if marked.task != "labels":
        return {}
    details = label_metrics_table(marked.expected, marked.predicted, evaluate.bootstrap_resamples, evaluate.seed)
    sure = confidences_of([answer.probability for answer in marked.predictions], marked.scores["accuracy"])
    return {
        "classes": {
            label: {measure: asdict(metric) for measure, metric in of_label.items()}
            for label, of_label in details.items()
        },
        "confusion": confusion_counts(marked.expected, marked.predicted),
        "reliability": [] if sure is None else reliability_bins(sure),
    }
