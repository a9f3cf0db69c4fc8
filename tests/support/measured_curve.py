"""A learning curve as `tunesmith learning-curve` writes it."""

from typing import Any

CURVE: dict[str, Any] = {
    "adapter": "a" * 64, "test": "c" * 64, "metric": "accuracy",
    "text": "Twice the rows, 200, would bring about +1.5 points.",
    "shares": [
        {"share": share, "rows": rows, "steps": 3, "value": value, "low": value - 0.1, "high": value + 0.1, "n": 60}
        for share, rows, value in ((0.25, 25, 0.31), (0.5, 50, 0.42), (1.0, 100, 0.52))
    ],
    "line": [{"rows": rows, "value": 0.3, "low": 0.2, "high": 0.6} for rows in (25.0, 100.0, 200.0)],
    "labels": [
        {"label": "a & b", "rows": 12, "before": {"value": 0.25, "n": 4, "low": 0.05, "high": 0.7},
         "after": {"value": 0.75, "n": 4, "low": 0.3, "high": 0.95}, "gain": 0.5, "p_value": 0.25, "p_corrected": 0.25,
         "stands_out": False}
    ],
}  # fmt: skip
