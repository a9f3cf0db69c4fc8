"""What a run shows of the change of the pairs: the decision as tags, the numbers and the first rows as tables."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from flows.difference import Base
from flows.record.runs import Run
from flows.record.store import client


def show_change(run: Run, against: Base, compared: Mapping[str, Any]) -> None:
    """Put a comparison of the pairs with those of the past into the run."""
    change, decision = compared["change"], compared["decision"]
    run.tag(
        {
            "difference.against": f"{against.whose} ({against.state.commit})",
            "difference.decision": decision["outcome"],
            "difference.reasons": "; ".join(decision["reasons"]),
        }
    )
    counts = [
        {"change": kind, "training or validation": change["learnt"][kind], "test": change["tested"][kind]}
        for kind in change["learnt"]
    ]
    labels = [
        {"label": label, "change": word, "rows": rows}
        for word in ("new", "vanished")
        for label, rows in change[f"{word}_labels"].items()
    ]
    tables = {"rows": counts, "labels": labels, "examples": compared["examples"]}
    for name, rows in tables.items():
        if rows:
            run.table(pd.DataFrame(rows), f"difference/{name}.json")
    for name, moved in change["drift"].items():
        client(run.root).log_metric(run.id, f"drift/{name}", moved)
