"""Great Expectations: what is expected of every pair, held against its columns, and its own pages of what it found."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
from great_expectations.render.renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView

from pipeline.arrays import Ints
from pipeline.params import Validate
from pipeline.validate.checks import RowCheck, action_of
from pipeline.validate.findings import Finding

GX_BATCH_ROWS = 250_000
"""Pairs that Great Expectations is given at once: it copies what it is given."""
VOLATILE_PATTERN = re.compile(r"\d{8}T\d{6}(?:\.\d+)?Z?|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What its pages bear of the moment: times, and ids that it draws."""


class SuiteResult(NamedTuple):
    """What came of holding pairs against checks: what was found, and the results of Great Expectations."""

    findings: list[Finding]
    results: list[Any]


def run_suite(
    columns: dict[str, Ints], checks: Sequence[RowCheck], validate: Validate, indices: Ints | None = None
) -> SuiteResult:
    """Hold pairs against those of some checks that are not off.

    Args:
        columns: Numbers of all pairs, by name.
        checks: What is expected of them.
        validate: What becomes of pairs that break a check.
        indices: Which pairs; None for all.

    Raises:
        RuntimeError: If an expectation itself failed to run; that is never taken for bad data.
    """
    logging.getLogger("great_expectations.data_context.types.base").setLevel(
        logging.WARNING
    )  # names a temporary folder
    suite = [check for check in checks if action_of(check, validate) != "off"]
    if not suite:
        return SuiteResult([], [])
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    batches = context.data_sources.add_pandas("pairs").add_dataframe_asset("pairs")
    definition = batches.add_batch_definition_whole_dataframe("all")
    expectations = gx.ExpectationSuite(name="pairs", expectations=[gx_expectation(check, validate) for check in suite])
    broken: dict[str, list[Ints]] = {check.reason: [np.zeros(0, np.int64)] for check in suite}
    results = []
    for frame in column_frames(columns, [check.column for check in suite], indices):
        gx_result = definition.get_batch({"dataframe": frame}).validate(
            expectations, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["place"]}
        )  # fmt: skip
        results.append(gx_result)
        for result in gx_result.results:
            reason, violating = read_gx_result(result)
            broken[reason].append(violating)
    findings = [
        Finding(check, action_of(check, validate), np.sort(np.concatenate(broken[check.reason]))) for check in suite
    ]
    return SuiteResult(findings, results)


def column_frames(columns: dict[str, Ints], wanted: list[str], indices: Ints | None) -> Iterator[pd.DataFrame]:
    """Cut the columns into frames, each pair with its place."""
    chosen = np.arange(len(next(iter(columns.values())))) if indices is None else indices
    for start in range(0, len(chosen), GX_BATCH_ROWS):
        some = chosen[start : start + GX_BATCH_ROWS]
        yield pd.DataFrame({"place": some, **{name: columns[name][some] for name in wanted}})


def gx_expectation(check: RowCheck, validate: Validate) -> gxe.Expectation:
    """Say a check in the words of Great Expectations: what only warns there only warns here."""
    return gxe.ExpectColumnValuesToBeBetween(
        column=check.column,
        min_value=check.least,
        max_value=check.most,
        severity="warning" if action_of(check, validate) == "warn" else "critical",
        description=f"{check.reason}: {check.expects}",
        meta={"reason": check.reason},
    )


def read_gx_result(result: Any) -> tuple[str, Ints]:
    """Read a result of Great Expectations: the reason, and the places that break it."""
    reason = result.expectation_config.meta["reason"]
    if "unexpected_index_list" not in result.result:
        raise RuntimeError(f"the expectation {reason!r} could not be computed: {result.exception_info}")
    return reason, np.array([index["place"] for index in result.result["unexpected_index_list"]], np.int64)


def render_data_docs(result: Any) -> str:
    """Render a result as the page that Great Expectations' users know; it loads its styling from the network.

    The same result gives the same bytes: times and drawn ids are numbered in the order in which they come.
    """
    page: str = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
    numbers: dict[str, str] = {}
    return VOLATILE_PATTERN.sub(lambda match: numbers.setdefault(match[0], f"n{len(numbers)}"), page)
