"""Personal data and secrets in a text: a fast pattern finds what looks like one, a check digit or a library decides."""

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


@dataclass(frozen=True)
class Kind:
    """A kind of personal data.

    Args:
        pattern: What looks like it, in the syntax that RE2 and Python have in common.
        real: Whether what was found is one.
        secret: Whether it opens a door, rather than names a person.
    """

    pattern: str
    real: Callable[[str], bool]
    secret: bool


def card(text: str) -> bool:
    """Say whether digits are a card number: its first digit, its length, and its check digit."""
    digits = re.sub(r"\D", "", text)
    return digits[0] in "23456" and bool(luhn.is_valid(digits))


def phone(text: str) -> bool:
    """Say whether digits after a plus sign are a telephone number that the numbering plan of its country has."""
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(text)))
    except phonenumbers.NumberParseException:
        return False


def always(_text: str) -> bool:
    """The pattern says enough."""
    return True


OUTSIDE = r"\s@<>()\[\]{},;:\"'|/\\!?="
EMAIL = rf"[^{OUTSIDE}]+@[^{OUTSIDE}.]+(?:\.[^{OUTSIDE}.]+)*\.[^{OUTSIDE}.0-9]{{2,}}"
"""An e-mail address, with letters of any script."""
KINDS = {
    "secret": Kind(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----|[\s\S]*)"
        r"|\bA[KS]IA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}"
        r"|\bgithub_pat_[A-Za-z0-9_]{40,}|\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
        r"|\bsk-[A-Za-z0-9_-]{20,}|\bAIza[A-Za-z0-9_-]{35}|\bhf_[A-Za-z0-9]{30,}|\b[sr]k_live_[A-Za-z0-9]{20,}"
        r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+",
        always, secret=True,
    ),
    "e-mail": Kind(EMAIL, always, secret=False),
    "iban": Kind(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b", iban.is_valid, secret=False),
    "card": Kind(r"\b[0-9](?:[ -]?[0-9]){12,18}\b", card, secret=False),
    "phone": Kind(r"\+[0-9][0-9 ()./-]{6,18}[0-9]", phone, secret=False),
}  # fmt: skip
"""By name, those that must be looked for first."""


def spans_of(kind: Kind, text: str) -> list[tuple[int, int]]:
    """Find where one kind begins and ends in a text."""
    found = ((match.start(), real_end(kind, match[0])) for match in re.finditer(kind.pattern, text, re.ASCII))
    return [(begin, begin + length) for begin, length in found if length]


def real_end(kind: Kind, text: str) -> int:
    """Give how much of a text is one, cutting off what stands behind a blank or a mark; 0 if none of it is."""
    ends = [match.start() for match in re.finditer(r"[^A-Za-z0-9]+", text)]
    return next((end for end in [len(text), *reversed(ends)] if text[:end] and kind.real(text[:end])), 0)


def kinds_of(*, secrets: bool) -> dict[str, Kind]:
    """Give the kinds that are secrets, or those that are personal."""
    return {name: kind for name, kind in KINDS.items() if kind.secret is secrets}


def count_of(texts: pa.Array, *, secrets: bool) -> npt.NDArray[np.int64]:
    """Count, in each text, secrets or what is personal."""
    kinds = kinds_of(secrets=secrets).values()
    any_kind = "|".join(f"(?:{kind.pattern})" for kind in kinds)
    found = np.zeros(len(texts), np.int64)
    at = np.flatnonzero(pc.match_substring_regex(texts, any_kind).to_numpy(zero_copy_only=False))
    found[at] = [sum(len(spans_of(kind, text)) for kind in kinds) for text in texts.take(pa.array(at)).to_pylist()]
    return found


def masked(text: str, *, secrets: bool) -> str:
    """Put, in place of each secret or of what is personal, the name of its kind in square brackets."""
    for name, kind in kinds_of(secrets=secrets).items():
        for begin, end in reversed(spans_of(kind, text)):
            text = f"{text[:begin]}[{name}]{text[end:]}"
    return text


def masked_pairs(batch: pa.RecordBatch, texts: pa.Array, *, secrets: bool) -> pa.RecordBatch:
    """Mask secrets, or what is personal, in a batch of pairs whose texts are these."""
    places = np.flatnonzero(count_of(texts, secrets=secrets)).tolist()
    if not places:
        return batch
    rows = batch.to_pylist()
    for place in places:
        rows[place] = masked_pair(rows[place], secrets=secrets)
    return pa.RecordBatch.from_pylist(rows, schema=batch.schema)


def masked_pair(row: dict[str, Any], *, secrets: bool) -> dict[str, Any]:
    """Mask all texts of a pair, which makes it another pair with another id."""
    messages = [{**turn, "content": masked(turn["content"], secrets=secrets)} for turn in row["messages"]]
    completion = masked(row["completion"], secrets=secrets)
    pair = Pair(
        tuple(Message(**turn) for turn in messages), completion, row["source"], row["row"], row["split"],
        masked(row["raw"].decode(errors="replace"), secrets=secrets).encode(),
    )  # fmt: skip
    return {**row, "id": pair.id, "messages": messages, "completion": completion, "raw": pair.raw}
