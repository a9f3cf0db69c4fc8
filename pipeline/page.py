"""The page that shows what validate found: one file that needs nothing from the network."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from pipeline.pairs import Quarantined

SHOWN = 200
STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --bar: #4c78a8; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
td, th { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
code { overflow-wrap: anywhere; font-size: .85em; } .bar { background: var(--bar); height: .7rem; }
.tiles { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; } .tiles b { display: block; font-size: 1.7rem; }
.wide { overflow-x: auto; }
"""


def validation_page(report: dict[str, Any], quarantined: Sequence[Quarantined]) -> str:
    """Render the results of validate as one self-contained HTML page."""
    rows = report["rows"]
    tiles = {
        "rows read": rows["in"],
        "kept": rows["kept"],
        "set aside": rows["in"] - rows["kept"],
        **report["splits"],
    }
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>Data checks</title><style>{STYLE}</style><h1>Data checks</h1>",
        "<div class='tiles'>"
        + "".join(f"<div><b>{n:,}</b>{escape(name)}</div>" for name, n in tiles.items())
        + "</div>",
        "<h2>Expectations</h2>",
        table(
            ["", "expected of every row", "rows that break it", "then"],
            map(expectation_row, report["expectations"]),
        ),
    ]
    if report["labels"]:
        most = max(report["labels"].values())
        parts += [
            "<h2>Labels</h2>",
            table(["label", "rows", ""], (label_row(label, n, most) for label, n in report["labels"].items())),
        ]
    parts += ["<h2>Rows set aside</h2>", quarantine_table(quarantined)]
    return "\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """Render a table that scrolls by itself on a narrow screen."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f"<div class='wide'><table><tr>{titles}</tr>{''.join(rows)}</table></div>"


def expectation_row(item: dict[str, Any]) -> str:
    """Render one expectation and its outcome."""
    kind, mark = (
        ("good", "holds") if not item["rows"] else ("bad", "broken") if item["sets_aside"] else ("warn", "warning")
    )
    then = "row set aside" if item["sets_aside"] else "reported only"
    return (
        f"<tr><td class='{kind}'>{mark}</td><td>{escape(item['expects'])}</td>"
        f"<td class='n'>{item['rows']:,}</td><td>{then}</td></tr>"
    )


def label_row(label: str, rows: int, most: int) -> str:
    """Render one label with a bar for its share."""
    return (
        f"<tr><td>{escape(label)}</td><td class='n'>{rows:,}</td>"
        f"<td style='width:50%'><div class='bar' style='width:{100 * rows / most:.1f}%'></div></td></tr>"
    )


def quarantine_table(quarantined: Sequence[Quarantined]) -> str:
    """Render the first rows set aside, and say how many more there are."""
    if not quarantined:
        return "<p>None.</p>"
    rows = (
        f"<tr><td>{escape(row.source)}</td><td class='n'>{row.row}</td><td>{escape(row.reason)}</td>"
        f"<td>{escape(row.detail)}</td><td><code>{escape(row.raw.decode(errors='replace')[:300])}</code></td></tr>"
        for row in quarantined[:SHOWN]
    )
    more = (
        f"<p>The first {SHOWN} of {len(quarantined):,}; all are in quarantine.parquet.</p>"
        if len(quarantined) > SHOWN
        else ""
    )
    return table(["file", "row", "reason", "", "as it was"], rows) + more
