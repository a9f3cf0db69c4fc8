"""Tables of numbers, as all parts of the page show them."""

from collections.abc import Iterable

from pipeline.page import table
from pipeline.recorded import Recorded


def numbers(head: list[str], rows: Iterable[str]) -> str:
    """Render a table of numbers, right-aligned."""
    return f"<div class='numbers'>{table(head, rows)}</div>"


def cell_of(number: Recorded, form: str) -> str:
    """Render a number; a dash for one that nobody told, as a hosted model need not tell its tokens."""
    return f"<td class='n'>{'-' if number.value is None else number.shown(form)}</td>"
