import re
import time

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.validate.pii import count_pii
from pipeline.validate.secret_patterns import DETECTORS, SECRET_PATTERN, detector_patterns

LETTERS = "a1B2c3D4e5F6g7H8"


@pytest.mark.parametrize(
    "secret",
    [
        "AccountKey=" + LETTERS * 5 + "abcdef==",
        "M" + LETTERS + "abcdefg" + ".abc_12." + LETTERS + "abcdefghijk",
        "gldt-" + LETTERS + "abcd",
        "glptt-" + LETTERS * 3,
        "GR1348941" + LETTERS + "abcd",
        "0123456789abcdef" * 2 + "-us12",
        "pypi-AgEIcHlwaS5vcmc" + LETTERS * 5,
        "SG." + LETTERS + "abcdef" + "." + LETTERS * 2 + "abcdefghijk",
        "https://hooks.slack.com/services/T0000/B0000/XXXX",
        "sq0csp-" + LETTERS * 2 + "abcdefghijk",
        "rk_live_" + LETTERS + "abcdefgh",
        "123456789:" + LETTERS * 2 + "abc",
        "SK" + "0123456789abcdef" * 2,
        "npm_" + LETTERS * 2 + "abcd",
        "ABIA" + "ABCDEFGH12345678",
    ],
)
def test_each_kind_of_token_is_found_whole(secret: str) -> None:
    """By Arrow, which looks through the rows, and by Python, which says where."""
    text = f"it is {secret} here"
    assert pc.match_substring_regex(pa.array([text]), SECRET_PATTERN).to_pylist() == [True]
    assert [match[0] for match in re.finditer(SECRET_PATTERN, text, re.ASCII)] == [secret]


@pytest.mark.parametrize(
    "text",
    [
        "ASIATISCHEHANDELSKAMMERN", "see https://hooks.slack.com/services", "at 12:30, order 123456789:12",
        "the SKU is SK12", "x" * 200, "commit " + "0123456789abcdef" * 2, "task-force-that-is-very-long-indeed",
        "glpat-short", "AccountKey=none",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_token_is_none(text: str) -> None:
    """Words, times, digests and beginnings."""
    assert not re.search(SECRET_PATTERN, text, re.ASCII)


def test_every_detector_gives_patterns_that_arrow_and_python_read() -> None:
    """A release with another syntax is noticed here."""
    for detector in DETECTORS:
        assert detector_patterns(detector)
        for portable in detector_patterns(detector):
            re.compile(portable)
            assert pc.match_substring_regex(pa.array(["none"]), portable).to_pylist() == [False]


@pytest.mark.parametrize(
    "piece", ["a", "1", "-", "ghp_", "sk-", "xoxb-1-", "aws key ", "https://", "eyJ", "eyJaaaaaaaaaaa.", "M.", "SG.a"]
)
def test_no_text_takes_long(piece: str) -> None:
    """A text of 100,000 characters that nearly is a token again and again, beside one that makes Python look."""
    text = "AKIA" + "ABCDEFGHIJKLMNOP" + " " + piece * (100_000 // len(piece))
    began = time.perf_counter()
    count_pii(pa.array([text]), secrets=True)
    assert time.perf_counter() - began < 2
