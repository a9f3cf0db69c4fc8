"""Laws of what JSON is."""

import json
from typing import Any

import pytest

from pipeline.strict_json import is_json, parse_strict
from tests.support.invalid_json import NOT_JSON


@pytest.mark.parametrize("text", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_no_json_is_refused(text: str) -> None:
    """Also what Python would read: NaN, a key twice, a number of thousands of digits; and what is too deep for it."""
    with pytest.raises(ValueError):  # noqa: PT011 -- each has words of its own
        parse_strict(text)
    assert not is_json(text)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, {"a": "Grüße"}]}, [], "", 0, None, {"": {}}], ids=repr)
def test_json_is_read(value: Any) -> None:
    """As it was written, blanks around it or not."""
    assert parse_strict(f" {json.dumps(value)}\n") == value
    assert is_json(json.dumps(value))
