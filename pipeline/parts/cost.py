"""What each arm costs, in money, seconds and tokens, and what quality that buys."""

from collections.abc import Iterator
from html import escape

from pipeline.parts.bought import bought
from pipeline.parts.table import cell_of, numbers
from pipeline.recorded import Recorded

HEAD = [
    "arm", "to make", "1,000 requests", "fine-tuned earned back", "seconds a request, median", "at the 95th of 100",
    "rows a second", "tokens in", "out",
]  # fmt: skip
FORMS = {
    "rows_per_second": ",.3g", "request_p50": ".3f", "request_p95": ".3f", "tokens_in": ",.1f", "tokens_out": ",.1f",
}  # fmt: skip


def cost_part(cost: Recorded, metrics: Recorded, metric: str) -> Iterator[str]:
    """Tell what each arm costs, and draw it against its metric.

    Args:
        cost: What register put together.
        metrics: What evaluate measured.
        metric: The one that decides.
    """
    currency = cost["prices"]["currency"]
    yield "<h2>What it costs</h2>"
    yield f"<p>{cost['text'].shown()}</p>"
    yield from bought(list(cost["lines"]), metrics, metric, currency)
    yield numbers(HEAD, map(line_row, cost["lines"]))
    yield (
        f"<p><small>In {currency.shown()}; {cost['prices']['machine_hour'].shown()} for an hour of this machine, kept "
        "busy: one that idles costs more per request. Seconds as measured on it in this run.</small></p>"
    )


def form_of(amount: float | None) -> str:
    """Give the format of an amount: from a hundred on in whole units, never as a power of ten."""
    return ",.0f" if amount is not None and amount >= 100 else ",.3g"


def line_row(line: Recorded) -> str:
    """Render an arm."""
    own = [cell_of(line[name], form_of(line[name].value)) for name in ("upfront", "per_1000")]
    took = [cell_of(line[name], FORMS[name]) for name in ("request_p50", "request_p95", "rows_per_second")]
    tokens = [cell_of(line[name], FORMS[name]) for name in ("tokens_in", "tokens_out")]
    back = f"<td class='n'>{line['earned_back'].shown()}</td>"
    return f"<tr><td>{escape(line['arm'].value)}</td>{''.join([*own, back, *took, *tokens])}</tr>"
