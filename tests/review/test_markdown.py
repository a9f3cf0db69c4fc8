"""Laws of texts of others within Markdown: they stay texts, whatever is in them."""

import html
import re

import pytest

from flows.review.markdown import CODE_CHARS, details_block, inline_code, markdown_table

EVIL = [
    "a|b", r"a\|b", "`code` and ``more``", "<script>alert(1)</script>", "</code><img src=x onerror=1>", "@everyone",
    "owner/name#1 and #2", "https://evil.example www.evil.example", "[a](javascript:1) ![b](c)", "# head",
    "*a* _b_ ~c~", "&lt;b&gt;", "</details>", "--- | ---", "$x$ :tada:",
]  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
def test_a_text_of_others_is_nothing_but_text(text: str) -> None:
    """A browser shows what was written; Markdown, HTML and GitHub see letters, digits and character references."""
    shown = re.fullmatch(r"<code>(.*)</code>", inline_code(text))
    assert shown is not None
    assert html.unescape(shown[1]) == text
    assert re.fullmatch(r"(?:[A-Za-z0-9 ]|&#\d+;)*", shown[1])


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("one\ntwo\r\n\tthree", r"one\ntwo\r\n\tthree"),
        ("end\u2028of\u2029lines", r"end\u2028of\u2029lines"),
        ("right\u202eto left\u200b", r"right\u202eto left\u200b"),
        ("half \ud800", r"half \ud800"),
        ("größer 漢字", "größer 漢字"),
    ],
)
def test_what_is_not_seen_is_written_out(text: str, seen: str) -> None:
    """So that a cell stays a line, and reads as it is; letters of other scripts stay letters."""
    assert html.unescape(inline_code(text)) == f"<code>{seen}</code>"
    inline_code(text).encode()


def test_a_long_text_is_cut_before_it_is_escaped() -> None:
    """No reference is cut in two, and the cut is seen; a text of just that length is whole."""
    assert inline_code("|" * (CODE_CHARS + 1)) == f"<code>{'&#124;' * CODE_CHARS}…</code>"
    assert inline_code("|" * CODE_CHARS) == f"<code>{'&#124;' * CODE_CHARS}</code>"
    assert inline_code("abcdef", 3) == "<code>abc…</code>"
    assert inline_code("") == "(empty)"


def test_a_table_and_what_is_folded_stand_apart() -> None:
    """GitHub wants an empty line before a table, and after the line that opens a fold."""
    assert markdown_table(("a", "b"), [["1", "2"]]) == ["", "| a | b |", "| --- | --- |", "| 1 | 2 |"]
    assert details_block("more", ["text"]) == ["", "<details><summary>more</summary>", "", "text", "", "</details>"]
