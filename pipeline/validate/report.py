"""The page that shows what validate found: one file that needs nothing from the network."""

from collections.abc import Sequence
from html import escape
from typing import Any

from pipeline.html.elements import PAGE_STYLE, html_table, page_start
from pipeline.pairs import Quarantined

LISTED_QUARANTINED = 200
DATA_DOCS_NOTE = "The same as pages of Great Expectations, styled from the network: data_docs/, beside this page."


def validation_page(
    report: dict[str, Any], overlaps: Sequence[dict[str, Any]], quarantined: Sequence[Quarantined]
) -> str:
    """Render the results of validate as one self-contained HTML page."""
    rows = report["rows"]
    tiles = {
        "rows read": rows["in"],
        "kept": rows["kept"],
        "set aside": rows["in"] - rows["kept"],
        **report["splits"],
    }
    parts = [
        page_start("Data checks", PAGE_STYLE) + "<h1>Data checks</h1>",
        "<div class='tiles'>"
        + "".join(f"<div><b>{n:,}</b>{escape(name)}</div>" for name, n in tiles.items())
        + "</div>",
        "<h2>Checks</h2>",
        html_table(
            ["", "expected of every row", "rows that break it", "then"],
            map(validation_check_row, worst_first(report["checks"])),
        ),
        f"<p><small>{DATA_DOCS_NOTE}</small></p>",
        *drift_section(report["drift"]),
        "<h2>Test rows that training nearly has</h2>",
        overlap_section(report["overlap"], overlaps),
    ]
    if report["labels"]:
        most = max(report["labels"].values())
        parts += [
            "<h2>Labels</h2>",
            html_table(
                ["label", "rows", ""], (label_share_row(label, n, most) for label, n in report["labels"].items())
            ),
        ]
    parts += ["<h2>Rows set aside</h2>", quarantine_table(quarantined)]
    return "\n".join(parts) + "\n"


ACTION_WORDS = {
    "error": "the run stops",
    "quarantine": "row set aside",
    "mask": "masked",
    "warn": "reported only",
}


def worst_first(checks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put what is broken before what only warns, and what holds behind both."""
    return sorted(checks, key=lambda item: (not item["rows"], item["action"] == "warn"))


def validation_check_row(item: dict[str, Any]) -> str:
    """Render one check, its outcome, the first rows that break it, and what to do."""
    kind, mark = (
        ("good", "holds")
        if not item["rows"]
        else ("warn", "warning")
        if item["action"] == "warn"
        else ("bad", "broken")
    )
    more = f"<br><small>{escape(item['first'])}: {escape(item['fix'])}</small>" if item["rows"] else ""
    return (
        f"<tr><td class='{kind}'>{mark}</td><td>{escape(item['expects'])}{more}</td>"
        f"<td class='n'>{item['rows']:,}</td><td class='then'>{ACTION_WORDS[item['action']]}</td></tr>"
    )


def drift_section(found: dict[str, Any]) -> list[str]:
    """Say how far the training rows are from those of the champion, if there is one."""
    if not found["compared"]:
        return []
    rows = (
        f"<tr><td class='{'warn' if item['broken'] else 'good'}'>{'moved' if item['broken'] else 'holds'}</td>"
        f"<td>{escape(item['what'])}</td><td class='n'>{item['distance']:.2f}</td><td class='n'>{item['p_value']:.2g}"
        f"</td><td>{escape(item['most'][0])}: {item['most'][1]:.1%} → {item['most'][2]:.1%}</td></tr>"
        for item in found["compared"]
    )
    return [
        "<h2>Against the rows that the champion learnt from</h2>",
        html_table(["", "what", "total variation", "p-value", "moved most"], rows),
    ]


def overlap_section(found: dict[str, int], overlaps: Sequence[dict[str, Any]]) -> str:
    """Say how many test rows are as good as known, and show the most alike."""
    said = (
        f"<p>Of {found['test_rows']:,} test rows, {found['equal']:,} equal a row outside the test set but for case, "
        f"blanks and punctuation, and {found['near']:,} are nearly one (these among them). "
        f"{found['clean']:,} have no near-duplicate that is trained on: the clean test set.</p>"
    )
    rows = (
        f"<tr><td class='n'>{row['jaccard']:.2f}</td>"
        f"<td>{row_location(row['test_source'], row['test_row'])}<br><code>{escape(row['test_prompt'][:300])}</code></td>"  # noqa: E501
        f"<td>{row_location(row['source'], row['row'])}<br><code>{escape(row['prompt'][:300])}</code></td>"
        f"<td>{'yes' if row['trained'] else 'no'}</td></tr>"
        for row in overlaps[:LISTED_QUARANTINED]
    )
    more = (
        f"<p>The first {LISTED_QUARANTINED} of {len(overlaps):,}; all are in overlaps.parquet.</p>"
        if len(overlaps) > LISTED_QUARANTINED
        else ""
    )
    return said + (html_table(["alike", "test row", "nearly the same", "trained on"], rows) + more if overlaps else "")


def row_location(source: str, row: int) -> str:
    """Render where a row stands."""
    return f"<small>{escape(source)} row {row}</small>"


def label_share_row(label: str, rows: int, most: int) -> str:
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
        for row in quarantined[:LISTED_QUARANTINED]
    )
    more = (
        f"<p>The first {LISTED_QUARANTINED} of {len(quarantined):,}; all are in quarantine.parquet.</p>"
        if len(quarantined) > LISTED_QUARANTINED
        else ""
    )
    return html_table(["file", "row", "reason", "", "as it was"], rows) + more
