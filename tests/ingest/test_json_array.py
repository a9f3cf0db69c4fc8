import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.json_array import NotAJsonArray, iterate_array
from tests.support.properties import PROPERTY

ROWS = [{"a": 'b, [c] "d" é🚂'}, 12345, "x", [1, [2]], None, {"long": "y" * 300}, -1.5e3]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_list_is_read_the_same_however_it_is_cut(indent: int | None, size: int) -> None:
    """Each element comes with its own text, from which it can be made again."""
    shown = json.dumps(ROWS, indent=indent, ensure_ascii=False)
    found = list(iterate_array(iter([shown[at : at + size] for at in range(0, len(shown), size)])))
    assert [row for row, _ in found] == ROWS
    assert [json.loads(text) for _, text in found] == ROWS


def test_an_empty_list_has_no_element() -> None:
    """Blanks or not."""
    assert list(iterate_array(iter(["[", "]"]))) == []
    assert list(iterate_array(iter([" [ \n ] \n"]))) == []


@pytest.mark.parametrize(
    ("shown", "line", "what"),
    [
        ('{"a": 1}', 1, "dict is not a list"),
        ("[1,\n2", 2, "expecting ',' or ']' behind a row"),
        ("[1,\n{2}]", 2, "Expecting property name enclosed in double quotes"),
        ("[1]\n\nmore", 3, "more stands behind the list"),
        ("", 1, "Expecting value"),
        ("[1 2]", 1, "expecting ',' or ']' behind a row"),
    ],
)
def test_what_is_no_list_is_named_with_its_line(shown: str, line: int, what: str) -> None:
    """Also where rows before it were good."""
    with pytest.raises(NotAJsonArray) as caught:
        list(iterate_array(iter(shown)))
    assert (caught.value.line, caught.value.what) == (line, what)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@PROPERTY
@given(rows=st.lists(VALUES, max_size=8), sizes=st.lists(st.integers(1, 9), min_size=1), spaced=st.booleans())
def test_any_list_is_read_as_it_was_written_however_it_is_cut(rows: list[Any], sizes: list[int], spaced: bool) -> None:
    """Whatever JSON can hold, in pieces of any lengths."""
    shown = json.dumps(rows, indent=1 if spaced else None, ensure_ascii=False)
    pieces, at = [], 0
    while at < len(shown):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(shown[at : at + size])
        at += size
    assert [row for row, _ in iterate_array(iter(pieces))] == rows
