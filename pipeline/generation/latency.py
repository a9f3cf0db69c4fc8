"""Throughput of all rows together, and latency of single requests (p50, p95)."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def elapsed_seconds(work: Callable[[], object]) -> float:
    """Time something."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure_latency(answering: float, rows: int, requests: Sequence[float]) -> dict[str, Any]:
    """Put seconds together: of all rows answered together, and of single requests.

    Args:
        answering: Seconds that all rows took.
        rows: How many.
        requests: Seconds of each request that was made by itself.
    """
    middle, most = np.quantile(requests, [0.5, 0.95]) if requests else (None, None)
    return {
        "answer_seconds": answering,
        "rows_per_second": rows / answering,
        "request_seconds": {
            "n": len(requests),
            "p50": None if middle is None else float(middle),
            "p95": None if most is None else float(most),
        },
    }
