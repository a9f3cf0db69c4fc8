"""Style and elements that the HTML pages share."""

from collections.abc import Iterable, Sequence
from html import escape

PAGE_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --bar: #4c78a8; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
td, th { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
code { overflow-wrap: anywhere; font-size: .85em; } .bar { background: var(--bar); height: .7rem; }
.tiles { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; } .tiles b { display: block; font-size: 1.7rem; }
.wide { overflow-x: auto; } .then { white-space: nowrap; }
.numbers th { text-align: right; padding-right: .6rem; } .numbers th:first-child { text-align: left; }
"""


def page_start(title: str, style: str) -> str:
    """Begin a page."""
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>\n"
        f"<title>{escape(title)}</title><style>{style}</style>"
    )


def html_table(head: Sequence[str], rows: Iterable[str]) -> str:
    """Render a table that scrolls by itself on a narrow screen."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f"<div class='wide'><table><tr>{titles}</tr>{''.join(rows)}</table></div>"
