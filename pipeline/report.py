"""The page of a run: whether it was worth it, by which numbers, where the arms differ; one file, each number traced."""

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from itertools import islice
from typing import Any

from pipeline import charts, page
from pipeline.card import OUTCOMES
from pipeline.page import table
from pipeline.recorded import Recorded, interval, triple
from pipeline.standing import TUNED

SHOWN = 20
"""Rows that one arm alone has right, each way; and labels taken for others."""
LONGEST = 600
"""Characters of a text that are shown."""
MOST_LABELS = 24
"""More make no picture of which is taken for which that can be read."""
STYLE = """
:root { --own: #2b6cb0; --rival: #68857a; --wrong: #cf222e; }
@media (prefers-color-scheme: dark) {
  :root { --own: #63a4e8; --rival: #9ab8ac; --wrong: #ff7b72; --good: #3fb950; --bad: #ff7b72; --warn: #d29922; }
}
.verdict { font-size: 1.1rem; border-left: .3rem solid var(--own); padding: .2rem 0 .2rem 1rem; }
small { opacity: .75; } td small { white-space: nowrap; font-size: .72rem; }
.numbers td:first-child, .numbers th:first-child, .heat th:first-child {
  position: sticky; left: 0; background: Canvas; }
.text { min-width: 6rem; overflow-wrap: break-word; } .text:first-child { min-width: 14rem; }
.numbers .text { text-align: left; } td.n { white-space: nowrap; } td, th { padding-right: .8rem; }
@media (max-width: 600px) { body { margin: 1rem auto; } h1 { font-size: 1.35rem; } .verdict { font-size: 1rem; } }
"""
Files = Mapping[str, Any]
"""What the files hold, by their names below `data/`; predictions as rows by their ids."""


def report_page(files: Files) -> str:
    """Render a run as one self-contained HTML page; the same files give the same bytes."""
    recorded = {name: Recorded(name, value) for name, value in files.items()}
    release, metrics = recorded["register/release.json"], recorded["evaluate/metrics.json"]
    details, rival = recorded["evaluate/details.json"], best_rival(release["worth"].value)
    parts = [
        page.start(release["name"].value, page.STYLE + charts.STYLE + STYLE),
        f"<h1>{release['name'].shown()}</h1>",
        f"<p class='verdict'>{release['worth']['text'].shown()}</p>",
        f"<h2>The gate: {OUTCOMES[release['verdict'].value]}</h2>",
        *gate_part(release),
        "<h2>Against what does without fine-tuning</h2>",
        *arms_part(release["worth"], metrics),
        *class_part(details, rival),
        *confusion_part(details[TUNED]),
        *reliability_part(details[TUNED]),
        *field_part(details, rival),
        *apart_part(recorded["evaluate/predictions.parquet"], release["worth"]["metric"].value, rival),
        *cost_part(recorded["rivals/cost.json"], recorded["rivals/report.json"]),
        "<h2>All that was measured</h2>",
        numbers(["arm", "measure", "value, 95 % interval, n"], measure_rows(metrics)),
    ]
    return "\n".join(parts) + "\n"


def numbers(head: list[str], rows: Iterable[str]) -> str:
    """Render a table of numbers, right-aligned."""
    return f"<div class='numbers'>{table(head, rows)}</div>"


def best_rival(worth: Mapping[str, Any]) -> str | None:
    """Give the rival that the verdict speaks of: the one to use instead, else the one with the most of the metric."""
    others = (line["arm"] for line in worth["table"] if line["arm"] != TUNED)
    rival: str | None = worth["rival"] or next(others, None)
    return rival


def gate_part(release: Recorded) -> Iterator[str]:
    """Say what the gate looked at, what failed first; where it had nothing to look at, why."""
    if not release["checks"].value:
        yield from (f"<p>{reason.shown()}</p>" for reason in release["reasons"])
        return
    yield table(["", "check"], map(check_row, sorted(release["checks"], key=lambda check: bool(check["passed"].value))))


def check_row(check: Recorded) -> str:
    """Render a check."""
    kind, mark = ("good", "passed") if check["passed"].value else ("bad", "failed")
    return f"<tr><td class='{kind}'>{mark}</td><td class='text'>{check['text'].shown()}</td></tr>"


def arms_part(worth: Recorded, metrics: Recorded) -> Iterator[str]:
    """Draw every arm, the best first, and tell what the fine-tuned model has more than each rival."""
    metric = worth["metric"].value
    arms = sorted(metrics["arms"], key=lambda arm: (-arm[metric]["value"].value, arm.key != TUNED))
    yield (
        f"<p>{worth['metric'].shown()} on {metrics['n'].shown(',')} held-out rows; "
        "the bars are 95 % intervals.</p>"
    )  # fmt: skip
    yield charts.forest({arm.key: arm[metric] for arm in arms}, TUNED)
    head = ["arm", metric, "fine-tuned has more", "p, corrected", "it is"]
    yield numbers(head, map(arm_row, worth["table"]))


def arm_row(line: Recorded) -> str:
    """Render a line of the table of the verdict."""
    own = f"<tr><td>{line['arm'].shown()}</td>{triple(line)}"
    if line["difference"].value is None:
        return f"{own}<td></td><td></td><td></td></tr>"
    between = interval(line, "+.3f", low="difference_low", high="difference_high")
    return (
        f"{own}<td class='n'>{line['difference'].shown('+.3f')}<br><small>{between}</small></td>"
        f"<td class='n'>{line['p_value'].shown('.2g')}</td><td class='n'>{line['word'].shown()}</td></tr>"
    )


def class_part(details: Recorded, rival: str | None) -> Iterator[str]:
    """Tell of each label how well the fine-tuned model and the best rival know it, the worst first."""
    if "classes" not in details[TUNED]:
        return
    arms = [TUNED] if rival is None else [TUNED, rival]
    head = ["label", *(f"{arm}: {measure}" for arm in arms for measure in ("recall", "precision", "F1"))]
    labels = sorted(details[TUNED]["classes"], key=lambda label: (label["f1"]["value"].value, label.key))
    yield "<h2>Each label</h2>"
    yield numbers(head, (class_row(label.key, [details[arm]["classes"] for arm in arms]) for label in labels))


def class_row(label: str, arms: list[Recorded]) -> str:
    """Render a label in some arms; a dash for what is of no row."""
    measures = [
        triple(arm[label][name]) if label in arm and name in arm[label] else "<td class='n'>-</td>"
        for arm in arms
        for name in ("recall", "precision", "f1")
    ]
    return f"<tr><td>{escape(label)}</td>{''.join(measures)}</tr>"


def confusion_part(told: Recorded) -> Iterator[str]:
    """Tell which labels the fine-tuned model takes for which, the commonest first, and draw it if it can be read."""
    if "confusion" not in told:
        return
    counts = told["confusion"]
    wrong = [(row.key, count) for row in counts for count in row if count.key != row.key]
    wrong.sort(key=lambda pair: (-pair[1].value, pair[0], pair[1].key))
    yield "<h2>Labels taken for others by the fine-tuned model</h2>"
    if not wrong:
        yield "<p>None.</p>"
    else:
        rows = (
            f"<tr><td class='n'>{count.shown(',')}</td><td>{escape(wanted)}</td><td>{escape(count.key)}</td></tr>"
            for wanted, count in wrong[:SHOWN]
        )
        yield table(["rows", "expected", "said"], rows)
    said = sorted({*counts.value, *(count.key for row in counts for count in row)})
    if len(said) <= MOST_LABELS:
        yield "<p>Expected in rows, said in columns.</p>" + charts.heat(counts, said)


def reliability_part(told: Recorded) -> Iterator[str]:
    """Show how far the fine-tuned model is to be believed when it is sure."""
    if "reliability" not in told or not told["reliability"].value:
        return
    rows = (
        f"<tr><td>{tenth['from'].shown('.1f')} to {tenth['to'].shown('.1f')}</td>"
        f"<td class='n'>{tenth['probability'].shown('.3f')}</td>{triple(tenth['right'])}</tr>"
        for tenth in told["reliability"]
    )
    yield "<h2>How sure the fine-tuned model was, and how many of these were right</h2>"
    yield charts.reliability(told["reliability"])
    yield numbers(["sure", "on average", "right"], rows)


def field_part(details: Recorded, rival: str | None) -> Iterator[str]:
    """Tell of each field of JSON how often it is right, by the fine-tuned model and the best rival."""
    if "fields" not in details[TUNED]:
        return
    arms = [TUNED] if rival is None else [TUNED, rival]
    rows = (
        f"<tr><td><code>{escape(field.key)}</code></td>"
        + "".join(
            triple(details[arm]["fields"][field.key]) if field.key in details[arm]["fields"] else "<td class='n'>-</td>"
            for arm in arms
        )
        + "</tr>"
        for field in details[TUNED]["fields"]
    )
    yield "<h2>Each field</h2>"
    yield numbers(["field", *arms], rows)


def apart_part(rows: Recorded, metric: str, rival: str | None) -> Iterator[str]:
    """Show rows on which the fine-tuned model does better than the best rival, and worse; the furthest apart first."""
    if rival is None:
        return
    gains = [(row[f"{TUNED} {metric}"].value - row[f"{rival} {metric}"].value, row) for row in rows]
    for title, sign in (("better", 1), ("worse", -1)):
        found = sorted((one for one in gains if sign * one[0] > 0), key=lambda one: -sign * one[0])
        yield f"<h2>Rows on which the fine-tuned model is {title} than {escape(rival)}</h2>"
        if not found:
            yield "<p>None.</p>"
            continue
        if len(found) > SHOWN:
            yield "<p>Not all of them, the furthest apart first; all are in evaluate/predictions.parquet.</p>"
        yield table(["asked", "expected", TUNED, rival], (apart_row(row, rival) for _, row in islice(found, SHOWN)))


def apart_row(row: Recorded, rival: str) -> str:
    """Render a row with the answers of both."""
    return f"<tr>{''.join(text_cell(row[name]) for name in ('prompt', 'expected', TUNED, rival))}</tr>"


def text_cell(text: Recorded) -> str:
    """Render a text, cut off if it is long."""
    cut = "…" if len(text.value) > LONGEST else ""
    return f"<td class='text' {text.source}>{escape(text.value[:LONGEST])}{cut}</td>"


def cost_part(cost: Recorded, report: Recorded) -> Iterator[str]:
    """Tell what the rivals take; of the fine-tuned model no times are recorded."""
    if not cost.value:
        return
    rows = (
        f"<tr><td>{escape(arm.key)}</td>{seconds_cells(arm)}{token_cells(report['rivals'][arm.key])}</tr>"
        for arm in cost
    )
    yield "<h2>What the rivals take</h2>"
    yield numbers(
        ["rival", "seconds a request, median", "at the 95th of 100", "to fit", "rows", "tokens in", "out"], rows
    )
    yield "<p><small>Seconds on the machine of this run. No times of the fine-tuned model are recorded.</small></p>"


def seconds_cells(arm: Recorded) -> str:
    """Render the seconds of a rival."""
    told = [*(arm["request_seconds"][name] for name in ("p50", "p95")), arm["fit_seconds"]]
    return "".join(cell_of(seconds, ".3f") for seconds in told)


def token_cells(told: Recorded) -> str:
    """Render for how many rows a rival took how many tokens, in all."""
    return "".join(cell_of(told[name], ",") for name in ("rows", "tokens_in", "tokens_out"))


def cell_of(number: Recorded, form: str) -> str:
    """Render a number; a dash for one that nobody told, as a hosted model need not tell its tokens."""
    return f"<td class='n'>{'-' if number.value is None else number.shown(form)}</td>"


def measure_rows(metrics: Recorded) -> Iterator[str]:
    """Render every measure of every arm."""
    for arm in metrics["arms"]:
        for measure in arm:
            yield f"<tr><td>{escape(arm.key)}</td><td class='n'>{escape(measure.key)}</td>{triple(measure)}</tr>"
