"""Texts normalised for comparison: case, whitespace, quotes and punctuation."""

import hashlib
import re
import unicodedata

QUOTATION_MARKS = "\u201c\u201d\u2018\u2019\u00ab\u00bb"

PUNCTUATION_PATTERN = re.compile(
    rf"""[.,;:!?\u2026"'()\[\]{QUOTATION_MARKS}]+(?=\s|$)"""  # at the end of a word
    rf"""|(?:(?<=\s)|^)[\u00bf\u00a1"'(\[{QUOTATION_MARKS}]+"""  # at its beginning
)
"""Not what stands within a word or a number, and no other sign: 1.5 is not 15, C++ is not C#, -5 is not 5."""


def normalize(text: str) -> str:
    """Leave out of a text what does not make it another: case, blanks, marks of sentences unless it is nothing else.

    Letters with accents are the same however they are composed.
    """
    plain = unicodedata.normalize("NFC", text).casefold()
    return " ".join(PUNCTUATION_PATTERN.sub("", plain).split()) or " ".join(plain.split())


def text_hash(text: str) -> int:
    """Hash a text to 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big")
