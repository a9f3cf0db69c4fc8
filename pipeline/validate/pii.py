"""Personal data and secrets: a regular expression proposes, a check digit or a library decides."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from stdnum import iban, luhn

from pipeline.pairs import Message, Pair
from pipeline.validate.secret_patterns import SECRET_PATTERN


@dataclass(frozen=True)
class PiiPattern:
    """A kind of personal data.

    Args:
        pattern: What looks like it, in the syntax that RE2 and Python have in common.
        real: Whether what was found is one.
        secret: Whether it opens a door, rather than names a person.
    """

    pattern: str
    real: Callable[[str], bool]
    secret: bool


def is_card_number(text: str) -> bool:
    """Say whether digits are a card number: its first digit, its length, and its check digit."""
    digits = re.sub(r"\D", "", text)
    return digits[0] in "23456" and bool(luhn.is_valid(digits))


def is_phone_number(text: str) -> bool:
    """Say whether digits after a plus sign are a telephone number that the numbering plan of its country has."""
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(text)))
    except phonenumbers.NumberParseException:
        return False


def is_match(_text: str) -> bool:
    """The pattern says enough."""
    return True


EMAIL_DELIMITERS = r"\s@<>()\[\]{},;:\"'|/\\!?="
EMAIL_PATTERN = (
    rf"[^{EMAIL_DELIMITERS}]+@[^{EMAIL_DELIMITERS}.]+(?:\.[^{EMAIL_DELIMITERS}.]+)*\.[^{EMAIL_DELIMITERS}.0-9]{{2,}}"
)
"""An e-mail address, with letters of any script."""
PII_PATTERNS = {
    "secret": PiiPattern(SECRET_PATTERN, is_match, secret=True),
    "e-mail": PiiPattern(EMAIL_PATTERN, is_match, secret=False),
    "iban": PiiPattern(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b", iban.is_valid, secret=False),
    "card": PiiPattern(r"\b[0-9](?:[ -]?[0-9]){12,18}\b", is_card_number, secret=False),
    "phone": PiiPattern(r"\+[0-9][0-9 ()./-]{6,18}[0-9]", is_phone_number, secret=False),
}  # fmt: skip
"""By name, those that must be looked for first."""


def find_spans(kind: PiiPattern, text: str) -> list[tuple[int, int]]:
    """Find where one kind begins and ends in a text."""
    matches = ((match.start(), match_end(kind, match[0])) for match in re.finditer(kind.pattern, text, re.ASCII))
    return [(begin, begin + length) for begin, length in matches if length]


def match_end(kind: PiiPattern, text: str) -> int:
    """Give how much of a text is one, cutting off what stands behind whitespace or punctuation; 0 if none of it is."""
    ends = [match.start() for match in re.finditer(r"[^A-Za-z0-9]+", text)]
    return next((end for end in [len(text), *reversed(ends)] if text[:end] and kind.real(text[:end])), 0)


def patterns_of(*, secrets: bool) -> dict[str, PiiPattern]:
    """Give the kinds that are secrets, or those that are personal."""
    return {name: kind for name, kind in PII_PATTERNS.items() if kind.secret is secrets}


def count_pii(texts: pa.Array, *, secrets: bool) -> npt.NDArray[np.int64]:
    """Count, in each text, secrets or what is personal."""
    kinds = patterns_of(secrets=secrets).values()
    any_kind = "|".join(f"(?:{kind.pattern})" for kind in kinds)
    counts = np.zeros(len(texts), np.int64)
    at = np.flatnonzero(pc.match_substring_regex(texts, any_kind).to_numpy(zero_copy_only=False))
    counts[at] = [sum(len(find_spans(kind, text)) for kind in kinds) for text in texts.take(pa.array(at)).to_pylist()]
    return counts


def mask_text(text: str, *, secrets: bool) -> str:
    """Put, in place of each secret or of what is personal, the name of its kind in square brackets."""
    for name, kind in patterns_of(secrets=secrets).items():
        for begin, end in reversed(find_spans(kind, text)):
            text = f"{text[:begin]}[{name}]{text[end:]}"
    return text


def mask_pairs(batch: pa.RecordBatch, texts: pa.Array, *, secrets: bool) -> pa.RecordBatch:
    """Mask secrets, or what is personal, in a batch of pairs whose texts are these."""
    indices = np.flatnonzero(count_pii(texts, secrets=secrets)).tolist()
    if not indices:
        return batch
    rows = batch.to_pylist()
    for index in indices:
        rows[index] = mask_pair(rows[index], secrets=secrets)
    return pa.RecordBatch.from_pylist(rows, schema=batch.schema)


def mask_pair(row: dict[str, Any], *, secrets: bool) -> dict[str, Any]:
    """Mask all texts of a pair, which makes it another pair with another id."""
    messages = [{**turn, "content": mask_text(turn["content"], secrets=secrets)} for turn in row["messages"]]
    completion = mask_text(row["completion"], secrets=secrets)
    pair = Pair(
        tuple(Message(**turn) for turn in messages), completion, row["source"], row["row"], row["split"],
        mask_text(row["raw"].decode(errors="replace"), secrets=secrets).encode(),
    )  # fmt: skip
    return {**row, "id": pair.id, "messages": messages, "completion": completion, "raw": pair.raw}
