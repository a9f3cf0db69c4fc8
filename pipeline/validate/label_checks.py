"""What is counted of labels: how they are spelt, how many rows each has. Where completions are texts, all is well."""

import numpy as np

from pipeline.arrays import Bools, Ints
from pipeline.params import Validate
from pipeline.validate.columns import TRAIN, PairColumns


def spelling_columns(columns: PairColumns, validate: Validate, *, labels: bool) -> dict[str, Ints]:
    """Say of each pair whether its label is unknown, or spelt otherwise than most."""
    if not labels:
        return dict.fromkeys(("label_unknown", "label_spelling"), np.zeros(len(columns), np.int64))
    declared = set(validate.labels or columns.answers)
    unknown = np.array([answer not in declared for answer in columns.answers], np.int64)
    rows = np.bincount(columns.completions, minlength=len(columns.answers))
    return {
        "label_unknown": unknown[columns.completions],
        "label_spelling": spelling_variants(columns.answers, rows)[columns.completions],
    }


def balance_columns(columns: PairColumns, sides: Ints, living: Bools, *, labels: bool) -> dict[str, Ints]:
    """Count, for the label of each pair, the training rows that are left, and their share in thousandths of all."""
    if not labels:
        many = np.full(len(columns), np.iinfo(np.int64).max)
        return {"label_rows": many, "label_share": np.zeros(len(columns), np.int64)}
    trained = np.bincount(columns.completions[living & (sides == TRAIN)], minlength=len(columns.answers))
    share = np.ceil(1000 * trained / max(trained.sum(), 1)).astype(np.int64)
    return {"label_rows": trained[columns.completions], "label_share": share[columns.completions]}


def spelling_variants(answers: list[str], rows: Ints) -> Ints:
    """Say of each label whether more rows, or as many with a label that sorts first, spell it otherwise."""
    best: dict[str, int] = {}
    keys = [" ".join(answer.casefold().split()) for answer in answers]
    for index in sorted(range(len(answers)), key=lambda index: (-rows[index], answers[index])):
        best.setdefault(keys[index], index)
    return np.array([best[key] != index for index, key in enumerate(keys)], np.int64)
