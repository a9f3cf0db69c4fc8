"""Logistic-regression baseline on features of the prompts, for labels."""

from collections.abc import Sequence
from typing import Any

from sklearn.linear_model import LogisticRegression

from pipeline.baselines.baseline import (
    BaselineReport,
    BaselineTask,
    PromptMessages,
    index_of_best,
    mean_score,
    prompt_messages,
)
from pipeline.baselines.tfidf import FeatureExtractor, Matrix, single_threaded
from pipeline.generation.generate import PROBABILITY_DIGITS
from pipeline.generation.predictions import BaselinePrediction
from pipeline.pairs import Pair

INVERSE_REGULARIZATIONS = (1.0, 10.0, 100.0, 0.1, 0.01)
"""Values of C, the inverse of the regularisation, to choose among; the first if nothing can be chosen."""
MAX_ITERATIONS = 1000


class LogisticRegressionBaseline:
    """Multinomial logistic regression (by scikit-learn) on the view and with the C that do best on validation rows.

    Args:
        features: How questions are seen.
        wanted: What is wanted of an answer.
    """

    def __init__(self, features: FeatureExtractor, wanted: BaselineTask) -> None:
        self.features = features
        self.task = wanted
        self.view = ""
        self.inverse_regularization = 0.0
        self.train_features: Matrix = None
        self.model: Any = None

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:
        """Fit each candidate on the training rows, and keep the one that answers most validation rows rightly."""
        views, labels = self.features.fit_transform([*map(prompt_messages, train)]), [pair.completion for pair in train]
        held = self.features.transform([*map(prompt_messages, validation)]) if validation else {}
        tried = [(view, strength) for view in views for strength in INVERSE_REGULARIZATIONS][
            : None if validation else 1
        ]
        kept, merits = None, list[float | None]()
        for view, strength in tried:
            model = fit_classifier(views[view], labels, strength)
            merits.append(
                mean_score(self.task, validation, predict_labels(model, held[view])[0]) if validation else None
            )
            if index_of_best(merits) == len(merits) - 1:
                kept = model
        self.model, (self.view, self.inverse_regularization) = kept, tried[index_of_best(merits)]
        self.train_features = views[self.view]
        report = [
            {"view": view, "C": c, self.task.metric: merit} for (view, c), merit in zip(tried, merits, strict=True)
        ]
        return {
            "chosen": {"view": self.view, "C": self.inverse_regularization}, "tried": report,
            "chosen_on": len(validation), "labels": len(set(labels)), **self.features.report(),
        }  # fmt: skip

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Say the most likely label of each question."""
        labels, probabilities = predict_labels(self.model, self.features.transform(questions)[self.view])
        return [
            BaselinePrediction(label, tokens_in=self.features.count_tokens(question), probability=probability)
            for label, probability, question in zip(labels, probabilities, questions, strict=True)
        ]


def fit_classifier(rows: Matrix, labels: Sequence[str], strength: float) -> Any:
    """Fit one classifier; where there is one label only, that label is it."""
    if len(set(labels)) == 1:
        return labels[0]
    with single_threaded():
        return LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(rows, labels)


def predict_labels(model: Any, rows: Matrix) -> tuple[list[str], list[float]]:
    """Say the most likely label of each row, and how likely it is."""
    if isinstance(model, str):
        return [model] * rows.shape[0], [1.0] * rows.shape[0]
    with single_threaded():
        likelihood = model.predict_proba(rows)
    labels = [str(label) for label in model.classes_[likelihood.argmax(axis=1)]]
    return labels, [round(float(most), PROBABILITY_DIGITS) for most in likelihood.max(axis=1)]
