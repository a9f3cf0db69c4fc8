import numpy as np

from pipeline.validate.columns import TEST, TRAIN, VALIDATION
from pipeline.validate.label_checks import balance_columns, spelling_columns, spelling_variants
from tests.support.checked_pairs import ALL, RULES, columns

SIDES = np.array([TRAIN, TRAIN, TEST, TRAIN, TRAIN, VALIDATION])


def test_labels_are_counted_among_the_training_rows_that_are_left() -> None:
    """Rows of each label, and its share in thousandths, never rounded down."""
    found = balance_columns(columns(), SIDES, ALL, labels=True)
    assert found["label_rows"].tolist() == [3, 3, 1, 3, 1, 0]
    assert found["label_share"].tolist() == [750, 750, 250, 750, 250, 0]
    found = balance_columns(columns(), SIDES, np.arange(6) != 0, labels=True)
    assert found["label_rows"].tolist() == [2, 2, 1, 2, 1, 0]
    assert found["label_share"].tolist() == [667, 667, 334, 667, 334, 0]


def test_a_label_that_was_not_declared_is_unknown() -> None:
    """Without declared ones all are known."""
    declared = RULES.model_copy(update={"labels": ("a", "b")})
    assert spelling_columns(columns(), declared, labels=True)["label_unknown"].tolist() == [0, 0, 0, 0, 0, 1]
    assert not spelling_columns(columns(), RULES, labels=True)["label_unknown"].any()


def test_free_texts_break_no_rule_for_labels() -> None:
    """Whatever they are."""
    found = balance_columns(columns(), SIDES, ALL, labels=False) | spelling_columns(columns(), RULES, labels=False)
    assert found["label_rows"].min() > 10**9
    assert not any(found[name].any() for name in ("label_unknown", "label_spelling", "label_share"))


def test_the_commonest_spelling_of_a_label_is_the_right_one() -> None:
    """Case and blanks apart; among equals the one that sorts first."""
    answers = ["Refund", "refund", "re fund", " refund ", "card", "Card"]
    assert spelling_variants(answers, np.array([2, 5, 1, 1, 3, 3])).tolist() == [1, 0, 0, 1, 1, 0]
    told = columns(answers=["Yes", "yes", "no"])
    assert spelling_columns(told, RULES, labels=True)["label_spelling"].tolist() == [0, 0, 1, 0, 1, 0]
