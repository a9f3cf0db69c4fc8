"""What is expected of every pair, held against its columns by Great Expectations."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.columns import Columns
from pipeline.params import Action, Validate

Places = npt.NDArray[np.int64]

TOGETHER = 250_000
"""Pairs that Great Expectations is given at once: it copies what it is given."""
NAMED_ROWS = 10
KEPT = -1
"""In place of the number of the finding that sets a row aside."""


@dataclass(frozen=True)
class Check:
    """An expectation of every pair.

    Args:
        reason: Its code: in params, in the quarantine, on the page.
        expects: What is so of a good pair.
        column: The number that tells.
        least: Its smallest good value, or None.
        most: Its largest good value, or None.
        fix: What to do about pairs of which it is not so.
        fault: Whether the pair itself is wrong, and not only its neighbour's neighbour: faults count against
            `validate.max_quarantined`.
    """

    reason: str
    expects: str
    column: str
    least: int | None
    most: int | None
    fix: str
    fault: bool = True


@dataclass(frozen=True)
class Finding:
    """What a check found: the places (positions in the list of pairs) that break it."""

    check: Check
    action: Action
    places: Places

    @property
    def sets_aside(self) -> bool:
        """Whether its pairs are set aside."""
        return self.action == "quarantine"


@dataclass(frozen=True)
class Judged:
    """All pairs, judged.

    Args:
        columns: What is known of each.
        sides: The number of its split.
        findings: What the checks found.
        why: Of each, the number of the finding that sets it aside, or KEPT.
        unread: The reasons of rows that ingest set aside.
    """

    columns: Columns
    sides: Places
    findings: Sequence[Finding]
    why: Places
    unread: Sequence[str]

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which are kept."""
        found: npt.NDArray[np.bool_] = self.why == KEPT
        return found


def checks_of(validate: Validate) -> list[Check]:
    """List the checks; a pair that breaks several goes by the first."""
    most, longest = validate.max_prompt_chars, validate.max_completion_chars
    alike, few, many = validate.near_duplicate, validate.min_label_rows, validate.max_label_share
    return [
        Check("empty_prompt", "the prompt says something", "question_seen", 1, None, "write it, or take the row out"),
        Check("empty_completion", "the completion says something", "completion_seen", 1, None,
              "write it, or take the row out"),
        Check("prompt_too_long", f"the prompt has at most {most:,} characters", "prompt_chars", None, most,
              "shorten it, or raise validate.max_prompt_chars"),
        Check("completion_too_long", f"the completion has at most {longest:,} characters", "completion_chars", None,
              longest, "shorten it, or raise validate.max_completion_chars"),
        Check("control_characters", "no control or replacement characters", "control_chars", None, 0,
              "export the text again as UTF-8, without terminal codes"),
        Check("mojibake", "no text that was decoded wrongly", "mojibake", None, 0,
              "export it again in the encoding it has, or name that as the source's encoding"),
        Check("markup", "no words of chat templates, such as <|im_start|> or [INST]", "markup", None, 0,
              "take them out: the model would read them as the end of a turn"),
        Check("secret", "no keys, tokens or other secrets", "secrets", None, 0,
              "take it out and revoke it: a model repeats what it was trained on"),
        Check("personal_data", "no e-mail addresses, telephone, card or bank account numbers", "personal", None, 0,
              "take it out, or set validate.checks.personal_data to mask"),
        Check("unknown_label", "the completion is one of validate.labels", "label_unknown", None, 0,
              "mend the label, or add it to validate.labels"),
        Check("label_spelling", "a label is always spelt alike, in case and blanks too", "label_spelling", None, 0,
              "spell it as most rows do"),
        Check("duplicate", "no second copy of the same pair", "copy", None, 0, "take the copies out", fault=False),
        Check("also_in_test", "no training row has the prompt of a test row", "in_test", None, 0,
              "take it out of one of them", fault=False),
        Check("also_in_validation", "no training row has the prompt of a validation row", "in_validation", None, 0,
              "take it out of one of them", fault=False),
        Check("near_test", f"no training row is nearly a row of a given held-out set (alike by {alike:g})", "near_test",
              None, 0, "take it out of one of them: it makes the test easier than the world", fault=False),
        Check("near_drawn", f"no training row is nearly a row drawn for test or validation (alike by {alike:g})",
              "near_drawn", None, 0, "nothing: it is left out so that what is held out stays unseen", fault=False),
        Check("near_duplicate", f"no two rows say nearly the same and have one completion (alike by {alike:g})",
              "near_copies", None, 0, "keep one of them", fault=False),
        Check("conflict", "one prompt has one completion", "answers", None, 1, "decide which completion is right"),
        Check("near_conflict", f"prompts that are nearly the same have one completion (alike by {alike:g})",
              "near_conflicts", None, 0, "decide whether both completions are right"),
        Check("answer_in_prompt", "the completion does not stand in the prompt", "answer_in_prompt", None, 0,
              "take it out of the prompt, unless to copy it is the task"),
        Check("rare_label", f"each label has at least {few:,} training rows", "label_rows", few, None,
              "add rows with this label, or merge it with another"),
        Check("common_label", f"no label has more than {many:.0%} of the training rows", "label_percent", None,
              round(100 * many), "add rows with other labels"),
    ]  # fmt: skip


def action_of(check: Check, validate: Validate) -> Action:
    """Say what becomes of pairs that break a check."""
    action: Action = getattr(validate.checks, check.reason)
    return action


def hold(columns: dict[str, Places], validate: Validate) -> list[Finding]:
    """Hold all pairs against every check that is not off.

    Raises:
        RuntimeError: If an expectation itself failed to run; that is never taken for bad data.
    """
    logging.getLogger("great_expectations.data_context.types.base").setLevel(
        logging.WARNING
    )  # names a temporary folder
    suite = [check for check in checks_of(validate) if action_of(check, validate) != "off"]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    batches = context.data_sources.add_pandas("pairs").add_dataframe_asset("pairs")
    definition = batches.add_batch_definition_whole_dataframe("all")
    expectations = gx.ExpectationSuite(name="pairs", expectations=[expectation(check, validate) for check in suite])
    broken: dict[str, list[Places]] = {check.reason: [] for check in suite}
    for frame in frames(columns, [check.column for check in suite]):
        results = definition.get_batch({"dataframe": frame}).validate(
            expectations, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["place"]}
        ).results  # fmt: skip
        for result in results:
            reason, places = outcome(result)
            broken[reason].append(places)
    return [
        Finding(check, action_of(check, validate), np.sort(np.concatenate(broken[check.reason]))) for check in suite
    ]


def frames(columns: dict[str, Places], wanted: list[str]) -> Iterator[pd.DataFrame]:
    """Cut the columns into frames, each pair with its place."""
    length = len(next(iter(columns.values())))
    for start in range(0, length, TOGETHER):
        some = slice(start, min(start + TOGETHER, length))
        yield pd.DataFrame(
            {"place": np.arange(some.start, some.stop), **{name: columns[name][some] for name in wanted}}
        )


def expectation(check: Check, validate: Validate) -> gxe.Expectation:
    """Say a check in the words of Great Expectations: what only warns there only warns here."""
    return gxe.ExpectColumnValuesToBeBetween(
        column=check.column,
        min_value=check.least,
        max_value=check.most,
        severity="warning" if action_of(check, validate) == "warn" else "critical",
        meta={"reason": check.reason},
    )


def outcome(result: Any) -> tuple[str, Places]:
    """Read a result of Great Expectations: the reason, and the places that break it."""
    reason = result.expectation_config.meta["reason"]
    if "unexpected_index_list" not in result.result:
        raise RuntimeError(f"the expectation {reason!r} could not be computed: {result.exception_info}")
    return reason, np.array([index["place"] for index in result.result["unexpected_index_list"]], np.int64)


def reasons_of(findings: Sequence[Finding], rows: int) -> Places:
    """Give for each pair the number of the first finding that sets it aside, or KEPT."""
    why = np.full(rows, KEPT, np.int64)
    for number in reversed(range(len(findings))):
        if findings[number].sets_aside:
            why[findings[number].places] = number
    return why


def named(columns: Columns, places: Places) -> str:
    """Name the rows at some places."""
    rows = [f"{columns.files[columns.sources[place]]} row {columns.rows[place]}" for place in places[:NAMED_ROWS]]
    return ", ".join(rows) + (" and others" if len(places) > NAMED_ROWS else "")
