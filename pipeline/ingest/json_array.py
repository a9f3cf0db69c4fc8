"""Streams the elements of one JSON list; the file is never held in memory whole."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.ingest.text_stream import MAX_LINE_BYTES

NON_WHITESPACE = re.compile(r"[^ \t\n\r]")
DECODER = json.JSONDecoder()


class NotAJsonArray(Exception):
    """A text that is no JSON list: the line, and what is wrong there."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


class ArrayReader:
    """Reads values and marks from a text that comes in pieces.

    Args:
        pieces: The text, cut anywhere.
    """

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._text = ""
        self._at = 0
        self._line = 1

    def peek(self) -> str:
        """Go on to the next character that is not whitespace, and give it; nothing at the end."""
        while not (match := NON_WHITESPACE.search(self._text, self._at)):
            self._at = len(self._text)
            if not self._more():
                return ""
        self._at = match.start()
        return match[0]

    def skip(self) -> None:
        """Go past one character."""
        self._at += 1

    def value(self) -> tuple[Any, str]:
        """Read a value: what it is, and its text.

        Raises:
            NotAJsonArray: If there is none, or one that Python cannot hold.
        """
        while True:
            try:
                parsed, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:  # perhaps only cut off
                if len(self._text) - self._at > MAX_LINE_BYTES or not self._more():
                    raise self.fault(error.msg, error.pos) from error
            except (ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits
                raise self.fault(str(error), self._at) from error
            else:
                # A number that was cut behind `1`, `1.` or `1e-` would be taken for the whole of it.
                if self._text[end : end + 3].lstrip(".eE+-") or not self._more():
                    shown = self._text[self._at : end]
                    self._at = end
                    return parsed, shown

    def fault(self, what: str, at: int | None = None) -> NotAJsonArray:
        """Say what is wrong, and in which line."""
        return NotAJsonArray(self._line + self._text.count("\n", 0, self._at if at is None else at), what)

    def _more(self) -> bool:
        """Read on, at least as much as is held; False at the end."""
        self._line += self._text.count("\n", 0, self._at)
        held = [self._text[self._at :]]
        self._at, size = 0, len(held[0])
        wanted = 2 * size
        for piece in self._pieces:
            held.append(piece)
            size += len(piece)
            if size > wanted:
                break
        self._text = "".join(held)
        return len(self._text) > len(held[0])


def iterate_array(pieces: Iterator[str]) -> Iterator[tuple[Any, str]]:
    """Read a JSON list: each element, and its text.

    Raises:
        NotAJsonArray: Where it is none.
    """
    reader = ArrayReader(pieces)
    if reader.peek() != "[":
        value, _ = reader.value()
        raise reader.fault(f"{type(value).__name__} is not a list")
    reader.skip()
    mark = reader.peek()
    while mark != "]":
        yield reader.value()
        mark = reader.peek()
        if mark not in ("]", ","):
            raise reader.fault("expecting ',' or ']' behind a row")
        if mark == ",":
            reader.skip()
            reader.peek()
    reader.skip()
    if reader.peek():
        raise reader.fault("more stands behind the list")
