"""Laws of the list of labels that may be wrong: what was planted is found, what is right is not; copies vouch not."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.baselines.baseline import prompt_messages
from pipeline.baselines.label_errors import (
    cross_fit_probabilities,
    find_label_errors,
    stratified_group_folds,
    write_label_errors,
)
from pipeline.baselines.tfidf import FeatureExtractor, TfidfFeatures
from pipeline.pairs import Message, Pair
from tests.support.repositories import PROJECT

BANKING77 = PROJECT.parent / "shared" / "data" / "banking77" / "train.csv"
WORDS = {"card": "lost stolen broken bent", "parcel": "late missing heavy damp", "refund": "slow partial wrong owed"}


def pair(prompt: str, label: str, row: int) -> Pair:
    return Pair((Message("user", prompt),), label, "a", row, None, b"")


def clean() -> list[Pair]:
    """Rows of which one word tells the label."""
    said = [(label, word, day) for label, words in WORDS.items() for word in words.split() for day in range(8)]
    return [pair(f"my {label} is {word}, day {day}", label, row) for row, (label, word, day) in enumerate(said)]


def found(rows: Sequence[Pair], seed: int = 1, features: FeatureExtractor | None = None) -> list[dict[str, object]]:
    """List what is suspected, by words alone."""
    views = (features or TfidfFeatures()).fit_transform([*map(prompt_messages, rows)])
    labels, folds = [row.completion for row in rows], stratified_group_folds(rows, seed)
    return find_label_errors(
        rows, {name: cross_fit_probabilities(view, labels, 10.0, folds) for name, view in views.items()}
    )


def test_no_right_label_is_suspected() -> None:
    """Where one word tells them apart."""
    assert found(clean()) == []


@pytest.mark.parametrize("place", [0, 37, 95])
def test_a_planted_label_is_found_and_the_right_one_suggested(place: int) -> None:
    """It alone, with how sure the classifier is."""
    rows = clean()
    right = rows[place].completion
    wrong = next(label for label in WORDS if label != right)
    rows[place] = pair(rows[place].prompt, wrong, place)
    (one,) = found(rows)
    assert (one["id"], one["label"], one["suggested"]) == (rows[place].id, wrong, right)
    assert 0.5 < float(str(one["probability"])) <= 1


def test_copies_stay_in_one_fold() -> None:
    """Else one copy with a wrong label would vouch for the other."""
    rows = [*clean(), *(pair("My CARD is lost, day 0", "parcel", 96 + copy) for copy in range(3))]
    for others, own in stratified_group_folds(rows, 1):
        prompts = [{rows[row].prompt.casefold() for row in part} for part in (others, own)]
        assert not prompts[0] & prompts[1]


def test_every_row_is_answered_by_classifiers_of_other_rows() -> None:
    """Each lies in one fold, and has the likelihood of each label, adding up to one."""
    rows = clean()
    folds = stratified_group_folds(rows, 1)
    assert sorted(np.concatenate([own for _, own in folds]).tolist()) == list(range(len(rows)))
    view = TfidfFeatures().fit_transform([*map(prompt_messages, rows)])["words and letters"]
    likelihood = cross_fit_probabilities(view, [row.completion for row in rows], 1.0, folds)
    assert likelihood.sum(1) == pytest.approx(np.ones(len(rows)))


def test_who_disagrees_with_another_classifier_suspects_nothing() -> None:
    """All must believe the same other label."""
    rows = clean()[:2]
    sure, other = np.array([[0.1, 0.9], [0.1, 0.9]]), np.array([[0.9, 0.1], [0.1, 0.9]])
    mixed = [rows[0], pair("b", "parcel", 1)]
    assert [one["id"] for one in find_label_errors(mixed, {"a": sure})] == [mixed[0].id]
    assert find_label_errors(mixed, {"a": sure, "b": other}) == []
    assert find_label_errors(mixed, {}) == []


def test_a_label_of_few_rows_is_looked_at_without_a_warning() -> None:
    """It is missing from some folds, where it has no likelihood; warnings are errors here."""
    rows = [*clean(), *(pair(f"hello and good day {row}", "greeting", 96 + row) for row in range(3))]
    assert [one["label"] for one in found(rows) if one["label"] != "greeting"] == []


@pytest.mark.parametrize("rows", [clean()[:1], [pair(f"{row}", "card", row) for row in range(30)]])
def test_few_rows_or_one_label_make_no_folds(rows: list[Pair]) -> None:
    """There is nothing to mistake it for."""
    assert stratified_group_folds(rows, 1) == []


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    """And an empty list has the same columns."""
    rows = clean()
    rows[3] = pair(rows[3].prompt, "parcel", 3)
    for name in ("a", "b"):
        write_label_errors(tmp_path / name, found(rows))
    write_label_errors(tmp_path / "none", [])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "none").stat().st_size > 0


def test_of_labels_flipped_in_real_data_most_of_the_list_is_right() -> None:
    """Of 1,000 rows of ten categories of Banking77, 50 flipped by chance: most are listed, and few others."""
    if not BANKING77.exists():
        pytest.skip(f"{BANKING77} is not here")
    with BANKING77.open(encoding="utf-8") as file:
        read = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    drawn = random.Random(1)
    names = sorted({label for _, label in read})[:10]
    some = drawn.sample([row for row in read if row[1] in names], 1000)
    flipped = set(drawn.sample(range(len(some)), 50))
    rows = [
        pair(text, drawn.choice([name for name in names if name != label]) if row in flipped else label, row)
        for row, (text, label) in enumerate(some)
    ]
    listed = {one["id"] for one in found(rows)}
    wrong = {rows[row].id for row in flipped}
    hits = len(listed & wrong)
    assert hits / len(listed) >= 0.6
    assert hits / len(wrong) >= 0.6
