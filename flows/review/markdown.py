"""GitHub's Markdown: texts of others that stay texts, tables, and what is folded.

Rows, labels and templates are written by others. Each stands in `<code>`, where GitHub looks for no mention, with every
mark of punctuation as a character reference, so that it is neither Markdown nor HTML nor the end of a cell.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

CODE_CHARS = 100
"""Characters of a text that are shown, unless it is to be shown to its end."""
MAX_TEXT_LENGTH = 1_000
PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
INVISIBLE_CATEGORIES = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Categories of characters that are not seen, or that reorder what is: ends of lines, bidirectional marks."""


def inline_code(text: object, most: int = CODE_CHARS) -> str:
    """Show a text on one line, cut, so that nothing in it is more than text."""
    whole = str(text)
    seen = "".join(
        escape_character(sign) if unicodedata.category(sign) in INVISIBLE_CATEGORIES else sign for sign in whole[:most]
    )
    shown = PUNCTUATION.sub(lambda sign: f"&#{ord(sign[0])};", seen)
    return f"<code>{shown}{'…' if len(whole) > most else ''}</code>" if whole else "(empty)"


def escape_character(sign: str) -> str:
    """Write a character as Python does in a string."""
    return sign.encode("unicode_escape").decode("ascii")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lay out a table, after the empty line that ends what stands before it."""
    return ["", *(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))]


def details_block(title: str, lines: Iterable[str]) -> list[str]:
    """Fold lines under a title."""
    return ["", f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]
