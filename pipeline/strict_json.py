"""JSON, read as the standard has it."""

import json
from typing import Any, NoReturn


def parse_strict(text: str) -> Any:
    """Read JSON as RFC 8259 has it, and no more: no NaN, no key twice in an object.

    Raises:
        ValueError: If it is not JSON, or nested too deeply to be read.
    """

    def never(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("an object has a key twice")
        return dict(pairs)

    try:
        return json.loads(text, parse_constant=never, object_pairs_hook=once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_json(text: str) -> bool:
    """Say whether a text is JSON."""
    try:
        parse_strict(text)
    except ValueError:
        return False
    return True
