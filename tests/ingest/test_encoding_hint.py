import os

import pytest

from pipeline.ingest import encoding_hint
from pipeline.ingest.encoding_hint import CANDIDATES, GENERAL_ADVICE, advice, likely_encodings, whole_lines

TEXTS = {
    "cp1252": '{"prompt": "Où est ma carte, “volée” à la gare?"}\n',
    "cp1250": "Zażółć gęślą jaźń, gdzie jest moja paczka\n",
    "cp1251": "Привет, как дела? Где моя посылка\n",
    "koi8_r": "Привет, как дела? Где моя посылка\n",
    "cp932": "こんにちは、荷物はどこですか。\n",
    "gb18030": "你好 我的包裹在哪里\n",
    "euc_kr": "안녕하세요 제 소포는 어디에 있나요\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_encoding_of_a_text_is_the_first_named(encoding: str) -> None:
    """Of languages that are often written in it."""
    body = (TEXTS[encoding] * 5).encode(encoding)
    assert likely_encodings(body, 0)[0] == encoding.replace("_", "-")


def test_where_several_fit_all_are_named_the_commonest_first() -> None:
    """Two letters with marks tell little; `cp1252` is what such a file mostly is."""
    body = "eins\ngrößer\n".encode("latin-1")
    names = likely_encodings(body, 7)
    assert names[:2] == ["cp1252", "cp1250"]
    assert advice("a b.txt", body, 7) == (
        f"it looks like {' or '.join(names)}: name its encoding in ingest.sources, or convert it by "
        "`iconv -f cp1252 -t utf-8 'a b.txt'`"
    )


def test_of_bytes_without_sense_nothing_is_named() -> None:
    """The advice is general then."""
    body = os.urandom(65536)
    assert likely_encodings(body, 0) == []
    assert advice("a", body, 0) == GENERAL_ADVICE


def test_only_whole_lines_around_the_place_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end is cut, so that a huge one costs no more."""
    monkeypatch.setattr(encoding_hint, "SAMPLE_BYTES", 4)
    assert whole_lines(b"one\ntwo\nthree\nfour\nfive", 11) == b"two\nthree\nfour"
    assert whole_lines(b"x" * 100, 50) == b"x" * 16


def test_every_name_is_one_that_python_knows() -> None:
    """Params take it as it is said."""
    for name in CANDIDATES:
        assert "a".encode(name.replace("_", "-")) == b"a"
