"""Laws of what JSON is."""

import json
from typing import Any

import pytest

from pipeline.document import is_json, read_value

NOT_JSON = [
    "", "yes", "{", '{"a": 1,}', "{'a': 1}", '```json\n{"a": 1}\n```', '{"a": 1} and more', "NaN", "[Infinity]",
    '{"a": 1, "a": 2}', '[{"b": {"a": 1, "a": 1}}]', "[" * 100_000, "1" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_no_json_is_refused(text: str) -> None:
    """Also what Python would read: NaN, a key twice, a number of thousands of digits; and what is too deep for it."""
    with pytest.raises(ValueError):  # noqa: PT011 -- each has words of its own
        read_value(text)
    assert not is_json(text)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, {"a": "Grüße"}]}, [], "", 0, None, {"": {}}], ids=repr)
def test_json_is_read(value: Any) -> None:
    """As it was written, blanks around it or not."""
    assert read_value(f" {json.dumps(value)}\n") == value
    assert is_json(json.dumps(value))
