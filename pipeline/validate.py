"""Stage 2. Reads data/ingest/: the pairs, and how many rows were set aside there.

Computes what Great Expectations says of every pair, and which side of the split each good pair is on.
Writes data/validate/: train, validation and test.parquet, quarantine.parquet, labels.json, report.json, report.html.
"""

import hashlib
import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.expectations.metadata_types import FailureSeverity

from pipeline import stage
from pipeline.page import validation_page
from pipeline.pairs import (
    SPLITS,
    Pair,
    Quarantined,
    aside,
    counts,
    read_pairs,
    read_quarantine,
    write_json,
    write_pairs,
    write_quarantine,
)  # fmt: skip
from pipeline.params import Prompt, Validate
from pipeline.problem import Problem

log = logging.getLogger(__name__)

KEPT_CONTROL = "\n\r\t"
NAMED_ROWS = 10


@dataclass(frozen=True)
class Finding:
    """What one expectation found: the places (positions in the list of pairs) that break it."""

    reason: str
    expects: str
    sets_aside: bool
    places: tuple[int, ...]


def columns(pairs: Sequence[Pair], validate: Validate) -> pd.DataFrame:
    """Compute, for each pair, the numbers that the suite speaks about; texts stay out of it."""
    answers: dict[str, set[str]] = {}
    for pair in pairs:
        answers.setdefault(pair.group, set()).add(pair.completion)
    test_given = any(pair.split == "test" for pair in pairs)
    sides = [side(pair, validate, test_given=test_given) for pair in pairs]
    test_groups, validation_groups = (
        {pair.group for pair, on in zip(pairs, sides, strict=True) if on == name} for name in ("test", "validation")
    )
    tested = [on == "test" for on in sides]
    copies = copies_of(pairs, tested)
    return pd.DataFrame(
        {
            "place": place,
            "question_seen": int(says_something(pair.messages[-1].content)),
            "completion_seen": int(says_something(pair.completion)),
            "prompt_chars": len(pair.prompt.strip()),
            "completion_chars": len(pair.completion.strip()),
            "control_chars": control_chars(pair.prompt) + control_chars(pair.completion),
            "copy": copies[place],
            "train_row_in_test": int(not tested[place] and pair.group in test_groups),
            "train_row_in_validation": int(sides[place] == "train" and pair.group in validation_groups),
            "answers_to_prompt": len(answers[pair.group]),
        }
        for place, pair in enumerate(pairs)
    )


def copies_of(pairs: Sequence[Pair], tested: Sequence[bool]) -> dict[int, int]:
    """Count, for each place, the copies of its pair before it; those in the test set come before all others."""
    seen: dict[str, int] = {}
    found: dict[int, int] = {}
    for place in sorted(range(len(pairs)), key=lambda place: not tested[place]):
        found[place] = seen[pairs[place].id] = seen.get(pairs[place].id, -1) + 1
    return found


def says_something(text: str) -> bool:
    """Say whether a text has anything that can be seen: blanks, controls and zero-width characters cannot."""
    return any(unicodedata.category(char)[0] not in "CZ" for char in text)


def control_chars(text: str) -> int:
    """Count characters that belong in no message: control characters, and what a wrong decoding leaves."""
    return sum(char == "\ufffd" or (unicodedata.category(char) == "Cc" and char not in KEPT_CONTROL) for char in text)


def expectations(validate: Validate) -> list[tuple[str, str, gxe.Expectation]]:
    """List the suite: reason code, the sentence people read, the expectation.

    `critical` sets a row aside, `warning` only reports it. A row that breaks several goes by the first.
    """
    most, longest = validate.max_prompt_chars, validate.max_completion_chars
    between = gxe.ExpectColumnValuesToBeBetween
    return [
        ("empty_prompt", "the prompt says something",
         between(column="question_seen", min_value=1, severity="critical")),
        ("empty_completion", "the completion says something",
         between(column="completion_seen", min_value=1, severity="critical")),
        ("prompt_too_long", f"the prompt has at most {most:,} characters",
         between(column="prompt_chars", max_value=most, severity="critical")),
        ("completion_too_long", f"the completion has at most {longest:,} characters",
         between(column="completion_chars", max_value=longest, severity="critical")),
        ("control_characters", "no control or replacement characters",
         between(column="control_chars", max_value=0, severity="critical")),
        ("duplicate", "no second copy of the same pair",
         between(column="copy", max_value=0, severity="critical")),
        ("also_in_test", "no training row has the prompt of a test row",
         between(column="train_row_in_test", max_value=0, severity="critical")),
        ("also_in_validation", "no training row has the prompt of a validation row",
         between(column="train_row_in_validation", max_value=0, severity="critical")),
        ("conflict", "one prompt has one completion",
         between(column="answers_to_prompt", max_value=1, severity="warning")),
    ]  # fmt: skip


def check(pairs: Sequence[Pair], validate: Validate) -> list[Finding]:
    """Hold the pairs against the suite.

    Raises:
        RuntimeError: If an expectation itself failed to run; that is never taken for bad data.
    """
    logging.getLogger("great_expectations.data_context.types.base").setLevel(
        logging.WARNING
    )  # names a temporary folder
    suite = expectations(validate)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    batches = context.data_sources.add_pandas("pairs").add_dataframe_asset("pairs")
    batch = batches.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": columns(pairs, validate)})
    results = batch.validate(
        gx.ExpectationSuite(name="pairs", expectations=[expectation for _, _, expectation in suite]),
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["place"]},
    ).results
    by_kwargs = {key_of(result.expectation_config): result for result in results}
    return [finding(reason, sentence, by_kwargs[key_of(item.configuration)]) for reason, sentence, item in suite]


def key_of(config: Any) -> tuple[Any, ...]:
    """Identify an expectation among the results, whose order is not promised."""
    return tuple(config.kwargs.get(key) for key in ("column", "min_value", "max_value"))


def finding(reason: str, sentence: str, result: Any) -> Finding:
    """Make a finding of a result of Great Expectations."""
    if "unexpected_index_list" not in result.result:
        raise RuntimeError(f"the expectation {reason!r} could not be computed: {result.exception_info}")
    places = tuple(sorted(index["place"] for index in result.result["unexpected_index_list"]))
    return Finding(reason, sentence, result.expectation_config.severity == FailureSeverity.CRITICAL, places)


def set_aside(pairs: Sequence[Pair], findings: Sequence[Finding]) -> tuple[list[Pair], list[Quarantined]]:
    """Part the pairs: the good ones, and those that break a critical expectation with the first that they break."""
    why: dict[int, Finding] = {}
    for found in findings:
        if found.sets_aside:
            for place in found.places:
                why.setdefault(place, found)
    good = [pair for place, pair in enumerate(pairs) if place not in why]
    bad = [aside(pairs[place], found.reason, f"not so: {found.expects}") for place, found in sorted(why.items())]
    return good, bad


def side(pair: Pair, validate: Validate, *, test_given: bool) -> str:
    """Say on which side of the split a pair is.

    By the hash of its group, so that it stays there whatever rows come or go, and rows with one prompt stay together.
    Where a source names its side, that holds; where one is the test set, no other row is drawn into it.
    """
    if pair.split is not None:
        return pair.split
    point = int.from_bytes(hashlib.sha256(f"{validate.salt} {pair.group}".encode()).digest()[:8], "big") / 2**64
    test_share = 0.0 if test_given else validate.test_share
    if point < test_share:
        return "test"
    return "validation" if point < test_share + validate.validation_share else "train"


def split(pairs: Sequence[Pair], validate: Validate) -> dict[str, list[Pair]]:
    """Split the pairs by the law.

    Raises:
        Problem: If nothing is left to train or to test on.
    """
    test_given = any(pair.split == "test" for pair in pairs)
    sides: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for pair in pairs:
        sides[side(pair, validate, test_given=test_given)].append(pair)
    for name in ("train", "test"):
        if not sides[name]:
            raise Problem(
                f"{len(pairs)} good rows",
                f"the {name} split is empty",
                do=f"add rows, or change validate.{'test_share' if name == 'test' else 'validation_share'}",
            )
    return sides


def labels_of(sides: dict[str, list[Pair]]) -> list[str]:
    """List the labels that training knows.

    Raises:
        Problem: If the test rows have one that training has not: it could never be answered.
    """
    known = {pair.completion for pair in sides["train"]}
    unknown = counts(pair.completion for pair in sides["test"] if pair.completion not in known)
    if unknown:
        named = ", ".join(f"{label!r} ({n} rows)" for label, n in list(unknown.items())[:5])
        raise Problem(
            "the test split",
            f"labels that no training row has: {named}",
            do="add training rows for them, or set prompt.task: text",
        )
    return sorted(known)


def too_many(quarantined: Sequence[Quarantined], rows: int, limit: float) -> None:
    """Stop when more rows are set aside than params allow."""
    share = len(quarantined) / rows
    if share > limit:
        reasons = ", ".join(f"{n} {reason}" for reason, n in counts(row.reason for row in quarantined).items())
        places = ", ".join(f"{row.source} row {row.row} ({row.reason})" for row in quarantined[:NAMED_ROWS])
        raise Problem(
            "validate.max_quarantined",
            f"{len(quarantined)} of {rows} rows are bad: {reasons}",
            expected=f"at most {int(limit * rows)} ({limit:g} of them)",
            got=f"{places}{' and others' if len(quarantined) > NAMED_ROWS else ''}; first: {quarantined[0].detail}",
            do="mend the rows, or raise the limit",
        )


def run(prompt: Prompt, validate: Validate, data: Path) -> None:
    """Check the pairs, set the bad ones aside, split the good ones."""
    pairs = read_pairs(data / "ingest" / "pairs.parquet")
    unread = read_quarantine(data / "ingest" / "quarantine.parquet")
    findings = check(pairs, validate)
    good, bad = set_aside(pairs, findings)
    too_many([*unread, *bad], len(pairs) + len(unread), validate.max_quarantined)
    sides = split(good, validate)
    labels = labels_of(sides) if prompt.task == "labels" else []
    report = {
        "rows": {
            "in": len(pairs) + len(unread),
            "unreadable": len(unread),
            "set_aside": len(bad),
            "kept": len(good),
        },
        "splits": {name: len(rows) for name, rows in sides.items()},
        "reasons": counts(row.reason for row in [*unread, *bad]),
        "expectations": [
            {"reason": f.reason, "expects": f.expects, "sets_aside": f.sets_aside, "rows": len(f.places)}
            for f in findings
        ],
        "labels": counts(pair.completion for pair in good) if labels else {},
    }
    log.info("validate: %d good rows, %d set aside; %s", len(good), len(bad) + len(unread), report["splits"])
    with stage.whole(data / "validate") as folder:
        for name, rows in sides.items():
            write_pairs(folder / f"{name}.parquet", rows)
        write_quarantine(folder / "quarantine.parquet", bad)
        write_json(folder / "labels.json", labels)
        write_json(folder / "report.json", report)
        (folder / "report.html").write_text(validation_page(report, [*unread, *bad]), encoding="utf-8")


if __name__ == "__main__":
    stage.main(lambda params, data: run(params.prompt, params.validate, data))
