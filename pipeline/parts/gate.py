"""What the gate looked at."""

from collections.abc import Iterator

from pipeline.page import table
from pipeline.recorded import Recorded


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
