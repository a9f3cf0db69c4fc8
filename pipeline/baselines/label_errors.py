"""Training rows whose label is likely wrong: what classifiers that did not learn from a row agree on against it.

Confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR
70, 2021): each row is answered by a classifier of the other rows (out of fold). A label is believed of a row where its
probability is at least what it is on average for the rows that have it. A row is suspected if every classifier believes
of it the same other label the most. It is for people to look at: nothing is changed or left out by it.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.baselines.logistic_regression import fit_classifier
from pipeline.baselines.tfidf import Matrix
from pipeline.dedup.normalize import normalize
from pipeline.files import write_table
from pipeline.pairs import Pair

LABEL_ERRORS_FILE = "label_errors.parquet"
LABEL_ERROR_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", pa.string()),
        ("label", pa.string()),
        ("suggested", pa.string()),
        ("probability", pa.float64()),
    ]
)
"""The last: of the suggested label, the least that a classifier gave it."""
CV_FOLDS = 5
PROBABILITY_DECIMALS = 6

LabelProbabilities = NDArray[np.float64]
"""Of each label for each row, shape (rows, labels)."""
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


def stratified_group_folds(train: Sequence[Pair], seed: int) -> list[Fold]:
    """Cut the training rows into folds with like shares of each label; rows with one prompt stay together.

    Else a copy with the same wrong label would vouch for it.

    Returns:
        Of each fold the places of the other rows, and of its own; none if there are too few rows, or one label alone.
    """
    labels = [pair.completion for pair in train]
    groups = [normalize(pair.prompt) for pair in train]
    rows_of_label = Counter(labels)
    if len(rows_of_label) < 2 or len(set(groups)) < CV_FOLDS or max(rows_of_label.values()) < CV_FOLDS:
        return []
    cut = StratifiedGroupKFold(CV_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A label with fewer rows than there are folds is missing from some, as `cross_fit_probabilities` allows.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return list(cut.split(np.zeros(len(labels)), labels, groups))


def cross_fit_probabilities(
    rows: Matrix, labels: Sequence[str], strength: float, folds: Sequence[Fold]
) -> LabelProbabilities:
    """Answer each row by a classifier of the other folds; a label that those do not have has no likelihood there."""
    names = sorted(set(labels))
    probabilities = np.zeros((len(labels), len(names)))
    for others, own in folds:
        model = fit_classifier(rows[others], [labels[row] for row in others], strength)
        if isinstance(model, str):
            probabilities[own, names.index(model)] = 1
            continue
        probabilities[np.ix_(own, np.searchsorted(names, model.classes_))] = model.predict_proba(rows[own])
    return probabilities


def find_label_errors(train: Sequence[Pair], likelihoods: Mapping[str, LabelProbabilities]) -> list[dict[str, object]]:
    """List the rows that every classifier has another label for, the most confident first.

    Args:
        train: The rows.
        likelihoods: By the name of each classifier, as `cross_fit_probabilities` gives them; empty: nothing is listed.
    """
    if not likelihoods:
        return []
    labels = np.array([pair.completion for pair in train])
    names = np.unique(labels)
    own = np.searchsorted(names, labels)
    believed = np.array([confident_labels(of_one, own) for of_one in likelihoods.values()])  # (classifiers, rows)
    agreed = (believed == believed[0]).all(0) & (believed[0] >= 0) & (believed[0] != own)
    least = np.min([of_one[np.arange(len(own)), believed[0]] for of_one in likelihoods.values()], axis=0)
    suspects = sorted(np.flatnonzero(agreed).tolist(), key=lambda row: (-least[row], train[row].id))
    return [
        {"id": train[row].id, "prompt": train[row].prompt, "label": labels[row],
         "suggested": names[believed[0][row]], "probability": round(float(least[row]), PROBABILITY_DECIMALS)}
        for row in suspects
    ]  # fmt: skip


def confident_labels(likelihood: LabelProbabilities, own: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give the label that a classifier believes of each row the most, by its place; -1 where it believes none."""
    usual = np.array([likelihood[own == label, label].mean() for label in range(likelihood.shape[1])])
    held = np.where(likelihood >= usual, likelihood, -1.0)
    return np.where(held.max(1) >= 0, held.argmax(1), -1)


def write_label_errors(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write the list; the same rows give the same bytes."""
    write_table(path, list(rows), LABEL_ERROR_SCHEMA)
