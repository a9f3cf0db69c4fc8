"""Laws of answers that are JSON."""

import json
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.metrics.json_fields import JsonFieldScores, format_path, json_leaves, read_structures
from pipeline.metrics.metric import proportion
from pipeline.strict_json import parse_strict
from tests.support.invalid_json import NOT_JSON

VALUES: list[Any] = [
    {"action": "refund", "amount": 12.5, "items": [{"name": "Grüße 世界", "ok": True}, {}], "why": None},
    [], {}, "", 0, False, None, [[[]]], {"a": {"b": {"c": [1, 2, {"d": "e"}]}}}, {"": {"": ""}}, "\ud800",
]  # fmt: skip


def of(expected: str, *got: str) -> JsonFieldScores:
    return read_structures([str(row) for row in range(len(got))], [expected] * len(got), got)


def scores(expected: str, *got: str) -> dict[str, list[float]]:
    return {measure: values.tolist() for measure, values in of(expected, *got).row_scores().items()}


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_the_same_value_is_right_however_it_is_written(value: Any) -> None:
    """Blanks, the order of keys and escapes count for nothing."""
    ways = [
        json.dumps(value),
        json.dumps(value, indent=3, sort_keys=True),
        json.dumps(value, separators=(",", ":")),
        "\n" + json.dumps(turned(value)) + " ",
    ]
    found = scores(json.dumps(value), *ways)
    assert found == {"json_valid": [1] * 4, "json_exact": [1] * 4, "fields_f1": [1] * 4}


def turned(value: Any) -> Any:
    """The same value with its keys in the other order."""
    if isinstance(value, dict):
        return {key: turned(held) for key, held in reversed(value.items())}
    return [turned(held) for held in value] if isinstance(value, list) else value


def test_different_values_have_different_leaves() -> None:
    """An empty list is not an empty object, 0 not false, 1 not "1"; but 1 is 1.0."""
    different = [*VALUES, 1, True, "1", [1], {"0": 1}, [{}], {"a": []}, {"a": {}}, {"a.b": 1}, {"a": {"b": 1}}]
    assert len({json_leaves(value) for value in different}) == len(different)
    assert json_leaves({"a": 1}) == json_leaves({"a": 1.0})


@pytest.mark.parametrize("text", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_no_json_is_wrong_and_no_error(text: str) -> None:
    """However a model fails to write JSON, it has 0 everywhere."""
    assert scores('{"a": 1}', text) == {"json_valid": [0], "json_exact": [0], "fields_f1": [0]}


def test_deep_values_are_taken_apart() -> None:
    """As deep as JSON is read, fields are found."""
    (leaf,) = json_leaves(parse_strict("[" * 900 + "7" + "]" * 900))
    assert (len(leaf[0]), *leaf[1:]) == (900, "number", 7)


@pytest.mark.parametrize(
    ("got", "f1"),
    [
        ('{"a": 1, "b": {"c": "x"}, "d": [1, 2]}', 1.0),
        ('{"a": 2, "b": {"c": "x"}, "d": [1, 2]}', 2 * 3 / 8),
        ('{"b": {"c": "x"}, "d": [1, 2]}', 2 * 3 / 7),
        ('{"a": 1, "b": {"c": "x"}, "d": [1, 2], "e": null}', 2 * 4 / 9),
        ('{"a": 1, "b": "x", "d": [2, 1]}', 2 * 1 / 8),
        ('{"a": true, "b": {"c": "X"}, "d": []}', 0.0),
        ("[]", 0.0),
    ],
)
def test_f1_counts_the_fields_with_their_exact_values(got: str, f1: float) -> None:
    """Twice the fields that are right over those wanted and those said; the place in a list is part of a field."""
    found = scores('{"a": 1, "b": {"c": "x"}, "d": [1, 2]}', got)
    assert found["fields_f1"] == pytest.approx([f1])
    assert found["json_exact"] == [float(f1 == 1.0)]


def test_the_fields_of_all_rows_together() -> None:
    """Each field counts the same: a row of many more than a row of one; the order of the rows changes nothing."""
    wanted = [json_leaves({"a": 1, "b": 2, "c": 3}), json_leaves({"a": 1})]
    said = [json_leaves({"a": 1, "b": 2, "c": 4}), None]
    found = JsonFieldScores(wanted, said).micro_f1(200, 1)
    assert (found.value, found.n) == (pytest.approx(2 * 2 / 7), 2)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert JsonFieldScores(wanted[::-1], said[::-1]).micro_f1(200, 1).value == found.value


def test_each_field_tells_how_often_it_is_right() -> None:
    """Of the rows that want it; an answer that is no JSON has it wrong."""
    found = of('{"a": 1, "b": [{"c": "x"}]}', '{"a": 1}', '{"a": 1, "b": [{"c": "x"}]}', "?").field_metrics()
    assert found == {"a": proportion([True, True, False]), "b[0].c": proportion([False, True, False])}


@pytest.mark.parametrize(
    ("path", "text"), [((), "$"), (("a",), "a"), (("a", 0, "b"), "a[0].b"), ((0,), "[0]"), (("a", "b"), "a.b")]
)
def test_a_path_is_written_as_people_do(path: tuple[str | int, ...], text: str) -> None:
    """Keys behind dots, places in brackets."""
    assert format_path(path) == text


def test_a_wanted_text_that_is_no_json_is_a_problem() -> None:
    """The row is named: nothing could be measured there."""
    with pytest.raises(UserError) as caught:
        of("refund", "{}")
    assert str(caught.value) == (
        "test row 0: its completion is not JSON: Expecting value: line 1 column 1 (char 0); got 'refund'; "
        "mend the row, or set prompt.task to text"
    )
