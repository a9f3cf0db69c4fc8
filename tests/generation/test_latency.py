"""Laws of the seconds: rows a second, and quantiles of single requests."""

import time

import pytest

from pipeline.generation.latency import elapsed_seconds, measure_latency


def test_work_is_timed_and_done_once() -> None:
    """No less than it slept."""
    done: list[int] = []
    assert elapsed_seconds(lambda: (time.sleep(0.02), done.append(1))) >= 0.02
    assert done == [1]


def test_requests_are_told_by_their_middle_and_their_slowest_twentieth() -> None:
    """Of 21 requests the eleventh, and the twentieth."""
    found = measure_latency(4.0, 8, [float(second) for second in range(21)])
    assert found["rows_per_second"] == 2
    assert found["request_seconds"] == {"n": 21, "p50": 10, "p95": pytest.approx(19)}


def test_without_single_requests_nothing_is_said_of_them() -> None:
    """None is no zero."""
    assert measure_latency(4.0, 8, [])["request_seconds"] == {"n": 0, "p50": None, "p95": None}
