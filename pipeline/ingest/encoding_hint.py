"""Which encoding bytes that are not UTF-8 look like: said in the error, never taken silently."""

from shlex import quote

from charset_normalizer import from_bytes

CANDIDATES = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r", "cp932", "gb18030", "big5",
    "euc_kr", "euc_jp",
)  # fmt: skip
"""Encodings that people's files are in, the commonest first: it is named first where a text fits several as well."""
SAMPLE_BYTES = 32768
"""Bytes before and behind the first wrong one that are looked at."""
TIE = 0.01
"""Of charset-normalizer's measures of mess and of coherence with a language: closer ones are equal."""
NAMED = 3
GENERAL_ADVICE = "name its encoding in ingest.sources (latin-1, cp1252, utf-16, ...), or save it as UTF-8"


def likely_encodings(body: bytes, at: int) -> list[str]:
    """List the encodings that bytes look like, the likeliest first; at most three, none if nothing fits.

    Args:
        body: The bytes.
        at: Where they are not UTF-8.
    """
    matches = from_bytes(whole_lines(body, at), cp_isolation=list(CANDIDATES))
    best = matches.best()
    if best is None:
        return []
    equal = [found for found in matches if found.chaos <= best.chaos + TIE and found.coherence >= best.coherence - TIE]
    names = {name for found in equal for name in found.could_be_from_charset}
    return [name.replace("_", "-") for name in CANDIDATES if name in names][:NAMED]


def whole_lines(body: bytes, at: int) -> bytes:
    """Cut lines out of bytes around a place, so that no character of several bytes is halved."""
    begin = body.rfind(b"\n", 0, max(at - SAMPLE_BYTES, 0)) + 1
    end = body.find(b"\n", at + SAMPLE_BYTES)
    sample = body[begin:] if end < 0 else body[begin:end]
    return sample[: 4 * SAMPLE_BYTES]


def advice(path: str, body: bytes, at: int) -> str:
    """Say what to do about a text that is not UTF-8, with the encodings that it looks like."""
    names = likely_encodings(body, at)
    if not names:
        return GENERAL_ADVICE
    return (
        f"it looks like {' or '.join(names)}: name its encoding in ingest.sources, or convert it by "
        f"`iconv -f {names[0]} -t utf-8 {quote(path)}`"
    )
