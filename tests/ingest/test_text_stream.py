import bz2
import codecs
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import UserError
from pipeline.ingest import text_stream
from pipeline.ingest.text_stream import (
    data_suffix,
    decode_chunks,
    read_characters,
    read_decompressed,
    read_utf8,
    split_lines,
)

PACK: dict[str, Callable[[bytes], bytes]] = {
    "txt": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress,
    "zst": lambda body: pa.compress(body, "zstd", asbytes=True),
}  # fmt: skip
TEXT = "naïve 🚂\nzweite Zeile: größer\n"


def written(folder: Path, name: str, body: bytes) -> Path:
    path = folder / name
    path.write_bytes(body)
    return path


@pytest.mark.parametrize(
    ("name", "ending"), [("a.jsonl", ".jsonl"), ("a.CSV.GZ", ".csv"), ("a.b.json.zst", ".json"), ("a", "")]
)
def test_the_ending_is_that_within_the_archive(name: str, ending: str) -> None:
    """In small letters."""
    assert data_suffix(Path(name)) == ending


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.bz2", "a.txt.xz", "a.txt.zst"])
def test_an_archive_reads_like_what_is_in_it(tmp_path: Path, name: str) -> None:
    """Whatever its size, in pieces."""
    body = TEXT.encode() * 100_000
    path = written(tmp_path, name, PACK[name.rpartition(".")[2]](body))
    pieces = list(read_decompressed(path))
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= text_stream.CHUNK


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
def test_archives_that_were_put_behind_each_other_are_all_read(tmp_path: Path, ending: str) -> None:
    """As parallel compressors write them."""
    path = written(tmp_path, f"a.txt.{ending}", PACK[ending](b"one\n") + PACK[ending](b"two\n"))
    assert b"".join(read_decompressed(path)) == b"one\ntwo\n"


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_a_damaged_archive_is_an_error(tmp_path: Path, ending: str) -> None:
    """Cut off, not one at all, compressed twice, or not called so."""
    kind = text_stream.COMPRESSION_BY_SUFFIX[f".{ending}"]
    whole = PACK[ending](TEXT.encode() * 100)
    for body in (whole[:-6], b"plain text\n" * 9):
        with pytest.raises(UserError, match=f"cannot be unpacked as {kind}: .*; copy or compress the file again"):
            list(read_decompressed(written(tmp_path, f"a.txt.{ending}", body)))
    with pytest.raises(
        UserError, match=f"is compressed with {kind} in it again; unpack it, or end its name in .{ending}"
    ):
        list(read_decompressed(written(tmp_path, f"a.txt.{ending}", PACK[ending](whole))))
    with pytest.raises(UserError, match=f"is compressed with {kind}; unpack it, or end its name in .{ending}"):
        list(read_decompressed(written(tmp_path, "a.txt", whole)))


@pytest.mark.parametrize(
    ("encoding", "mark", "asked"),
    [
        ("utf-8", b"", None),
        ("utf-8", codecs.BOM_UTF8, None),
        ("utf-8", codecs.BOM_UTF8, "utf-8"),
        ("utf-16-le", codecs.BOM_UTF16_LE, None),
        ("utf-16-be", codecs.BOM_UTF16_BE, "utf-16"),
        ("utf-32-le", codecs.BOM_UTF32_LE, None),
        ("utf-16-le", b"", "utf-16-le"),
    ],
)
def test_a_mark_or_params_name_the_encoding(tmp_path: Path, encoding: str, mark: bytes, asked: str | None) -> None:
    """The text comes as UTF-8 without the mark, checked or not."""
    path = written(tmp_path, "a.txt", mark + TEXT.encode(encoding))
    assert b"".join(read_utf8(path, asked)).decode() == TEXT
    assert "".join(read_characters(path, asked)) == TEXT


def test_latin_1_is_read_if_it_is_named(tmp_path: Path) -> None:
    """And is an error with line and byte if it is not."""
    path = written(tmp_path, "a.txt", "eins\ngrößer\n".encode("latin-1"))
    assert "".join(read_characters(path, "latin-1")) == "eins\ngrößer\n"
    with pytest.raises(
        UserError, match=r"line 2 is not UTF-8: invalid start byte \(byte f6\); it looks like cp1252 or"
    ):
        list(read_characters(path, None))


def test_a_character_may_be_cut_between_two_pieces() -> None:
    """Wherever the pieces end."""
    body = TEXT.encode()
    for at in range(len(body)):
        assert "".join(decode_chunks(Path("a"), iter([body[:at], body[at:]]), "utf-8")) == TEXT


def test_lines_are_the_same_however_the_text_is_cut() -> None:
    """The last one may have no end; empty ones count."""
    body = b"one\n\ntwo\r\nthree"
    for at in range(len(body)):
        assert list(split_lines(Path("a"), [body[:at], body[at:]])) == [b"one", b"", b"two\r", b"three"]


def test_a_line_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error that says which line."""
    monkeypatch.setattr(text_stream, "MAX_LINE_BYTES", 1 << 20)
    with pytest.raises(UserError) as caught:
        list(split_lines(Path("a"), [b"short\n", *[b"x" * (1 << 19)] * 4]))
    assert str(caught.value) == "a: line 2 is longer than 1 MiB; write one row a line"
