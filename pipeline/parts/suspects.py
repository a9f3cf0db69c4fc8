"""Training rows whose label may be wrong."""

from collections.abc import Iterator
from itertools import islice

from pipeline.page import table
from pipeline.recorded import Recorded

SHOWN = 20


def suspects_part(rows: Recorded) -> Iterator[str]:
    """List the rows that classifiers of the other rows agree against, the surest first; nothing if there are none."""
    if not rows.value:
        return
    yield "<h2>Training labels that may be wrong</h2>"
    yield (
        "<p>Classifiers that did not learn from these rows agree on another label. They are listed for people to look "
        "at, the surest first; nothing is changed by it. All are in rivals/label_errors.parquet.</p>"
    )
    yield table(["asked", "label", "rather", "sure"], map(suspect_row, islice(rows, SHOWN)))


def suspect_row(row: Recorded) -> str:
    """Render a row."""
    return (
        f"<tr><td class='text'>{row['prompt'].shown()}</td><td>{row['label'].shown()}</td>"
        f"<td>{row['suggested'].shown()}</td><td class='n'>{row['probability'].shown('.2f')}</td></tr>"
    )
