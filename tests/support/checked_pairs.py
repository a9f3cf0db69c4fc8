"""Pairs held against all checks, for tests of what becomes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.dedup.minhash import near_duplicates
from pipeline.holdout.scored_prompts import ScoredPrompts, read_scored_prompts
from pipeline.pairs import PAIRS_SCHEMA, SPLITS, Message, Pair
from pipeline.params import Prompt, Validate, load_params
from pipeline.validate import splits
from pipeline.validate.columns import UNASSIGNED, ColumnReader, PairColumns
from pipeline.validate.findings import NOT_QUARANTINED
from pipeline.validate.stage import validate_columns
from tests.support.paths import PROJECT

GIVEN = load_params(PROJECT / "params.yaml").validate
LIMITS = GIVEN.model_copy(
    update={
        "max_prompt_chars": 1000,
        "max_completion_chars": 50,
        "max_quarantined_share": 0.1,
        "near_duplicate_similarity": 0.9,
    }
)
LABELS = Prompt(task="labels", system="")


def pair(prompt: str, completion: str = "yes", *, split: str | None = None, row: int = 1) -> Pair:
    """A pair of one question."""
    return Pair((Message("user", prompt),), completion, f"{split or 'all'}.jsonl", row, split, prompt.encode())


def questions(number: int, *, split: str | None = None, start: int = 0) -> list[Pair]:
    """Different prompts with two labels."""
    return [pair(f"question {n}", "no" if n % 2 else "yes", split=split, row=n) for n in range(start, start + number)]


def changed(**values: Any) -> Validate:
    return LIMITS.model_copy(update=values)


def acting(**actions: str) -> Validate:
    """The limits, with other actions for some checks."""
    return changed(checks=LIMITS.checks.model_copy(update=actions))


def batch_of(pairs: Sequence[Pair]) -> pa.RecordBatch:
    """Pairs as they stand on disk."""
    rows = [{**vars(pair), "id": pair.id, "messages": [vars(turn) for turn in pair.messages]} for pair in pairs]
    return pa.RecordBatch.from_pylist(rows, schema=PAIRS_SCHEMA)


NOTHING = read_scored_prompts(Path("nowhere"))


class Found:
    """Pairs held against all checks: what was found, and what becomes of each."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        validate: Validate = LIMITS,
        *,
        labels: bool = False,
        unread: Sequence[str] = (),
        tested: ScoredPrompts = NOTHING,
    ) -> None:
        reader = ColumnReader(validate.salt, (), validate.languages)
        near = near_duplicates(reader.texts([batch_of(pairs)]), validate.near_duplicate_similarity, tested.grams)
        self.pairs = pairs
        self.judged = validate_columns(reader.columns(), near, tested.prompts, validate, unread, labels=labels)
        self.sides, self.findings, self.why = self.judged.sides, self.judged.findings, self.judged.why

    @property
    def kept(self) -> dict[str, str]:
        """The side of each raw row that is kept."""
        return {
            pair.raw.decode(): SPLITS[side]
            for pair, side, why in zip(self.pairs, self.sides, self.why, strict=True)
            if why == NOT_QUARANTINED
        }

    @property
    def bad(self) -> list[tuple[str, bytes]]:
        """Reason and bytes of each row that is not."""
        return [
            (self.findings[why].check.reason, pair.raw)
            for pair, why in zip(self.pairs, self.why, strict=True)
            if why != NOT_QUARANTINED
        ]

    def found(self, reason: str) -> list[int]:
        """The places that break a check."""
        (found,) = [item for item in self.findings if item.check.reason == reason]
        return found.places.tolist()


def only(validate: Validate, *reasons: str) -> Validate:
    """The same, with all checks off but some."""
    off = dict.fromkeys(set(type(validate.checks).model_fields) - set(reasons), "off")
    return validate.model_copy(update={"checks": validate.checks.model_copy(update=off)})


def sides_of(pairs: Sequence[Pair], validate: Validate = LIMITS) -> dict[str, str]:
    """The side of each pair, by its id, as the law of the split alone says."""
    reader = ColumnReader(validate.salt)
    list(reader.texts([batch_of(pairs)]))
    sides = splits.assign_splits(reader.columns(), validate)
    return {pair.id: SPLITS[side] for pair, side in zip(pairs, sides, strict=True)}


LONG = "please tell me when the parcel that I ordered on the first of may will be with me, for it is late"


RULES = load_params(PROJECT / "params.yaml").validate

ALL = np.ones(6, bool)


def columns(**replaced: object) -> PairColumns:
    """Six pairs: places 0 and 1 are one pair, 2 asks the same, the others ask something else each."""
    told: dict[str, object] = {
        "ids": np.array([1, 1, 2, 3, 4, 5], np.uint64), "prompts": np.array([0, 0, 0, 1, 2, 3]),
        "asked": np.array([70, 80, 90, 100], np.uint64), "turns": np.ones(6, int),
        "points": np.array([0.1, 0.1, 0.1, 0.3, 0.34, 0.9]), "given": np.full(6, UNASSIGNED),
        "completions": np.array([0, 0, 1, 0, 1, 2]), "answers": ["a", "b", "c"], "sources": np.zeros(6, int),
        "files": ["f"], "rows": np.arange(6), "texts": {},
    }  # fmt: skip
    return PairColumns(**{**told, **replaced})  # type: ignore[arg-type]
