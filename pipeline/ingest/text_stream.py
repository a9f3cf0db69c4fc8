"""The content of a file as UTF-8, chunk by chunk: decompressed by its suffix, decoded by its BOM or as params say."""

import bz2
import codecs
import lzma
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.ingest.encoding_hint import GENERAL_ADVICE, advice

CHUNK = 1 << 20
MAX_LINE_BYTES = 64 << 20
"""Bytes of one row: a longer one is a file without ends of lines, or an archive made to fill the memory."""
COMPRESSION_BY_SUFFIX = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
COMPRESSION_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}


def data_suffix(path: Path) -> str:
    """Give the suffix of a file in lower case, without that of its compression."""
    named = path.with_suffix("") if path.suffix.lower() in COMPRESSION_BY_SUFFIX else path
    return named.suffix.lower()


def read_decompressed(path: Path) -> Iterator[bytes]:
    """Read the bytes of a file, decompressed.

    Raises:
        UserError: If its archive is damaged, cut off, or not called one.
    """
    kind = COMPRESSION_BY_SUFFIX.get(path.suffix.lower())
    with path.open("rb") as file:
        stream = decompressed_stream(file, kind)
        try:
            first = True
            while chunk := stream.read(CHUNK):
                if first:
                    refuse_unnamed_archive(path, chunk, kind)
                first = False
                yield chunk
        except (OSError, EOFError, lzma.LZMAError) as error:
            if kind is None:
                raise
            raise UserError(
                str(path), f"cannot be unpacked as {kind}: {error}", do="copy or compress the file again"
            ) from error


def decompressed_stream(file: IO[bytes], kind: str | None) -> Any:
    """Open what is in an archive; gzip and zstd by Arrow, which reads them twice as fast as Python."""
    if kind == "bzip2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return lzma.LZMAFile(file)
    return pa.CompressedInputStream(pa.PythonFile(file), kind) if kind else file


def refuse_unnamed_archive(path: Path, chunk: bytes, kind: str | None) -> None:
    """Refuse what is compressed and not called so, or compressed twice."""
    for magic, ending in COMPRESSION_MAGIC.items():
        if chunk.startswith(magic):
            again = " in it again" if kind else ""
            raise UserError(
                str(path),
                f"is compressed with {COMPRESSION_BY_SUFFIX[ending]}{again}",
                do=f"unpack it, or end its name in {ending}",
            )


def detect_encoding(path: Path, start: bytes, asked: str | None) -> str:
    """Find the encoding of a text by its BOM, else as params say, else UTF-8.

    Raises:
        UserError: If its BOM says another encoding than params.
    """
    name = codecs.lookup(asked).name.removesuffix("-sig") if asked else "utf-8"
    for mark, marked in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            if asked and not name.startswith(marked[:6]):
                raise UserError(
                    str(path), f"begins with the mark of {marked}", got=f"encoding: {asked}", do="set encoding: null"
                )
            return marked
    return name


def read_utf8(path: Path, asked: str | None) -> Iterator[bytes]:
    """Read the text of a file as UTF-8 without its BOM; what is UTF-8 already comes unchecked.

    Raises:
        UserError: If it is in another encoding, and not the one that params name.
    """
    encoding, chunks = without_bom(path, asked)
    if encoding == "utf-8":
        yield from chunks
    else:
        for part in decode_chunks(path, chunks, encoding):
            # Half a character (a lone surrogate) comes out of encodings that escape; it goes on, as UTF-8's own fault.
            yield part.encode(errors="surrogatepass")


def read_characters(path: Path, asked: str | None) -> Iterator[str]:
    """Read the text of a file, checked, in pieces of any length.

    Raises:
        UserError: With the line, where it is not in its encoding.
    """
    encoding, chunks = without_bom(path, asked)
    return decode_chunks(path, chunks, encoding)


def without_bom(path: Path, asked: str | None) -> tuple[str, Iterator[bytes]]:
    """Give the encoding of a text, and its bytes without the BOM."""
    chunks = read_decompressed(path)
    first = next(chunks, b"")
    encoding = detect_encoding(path, first, asked)
    for mark, marked in BYTE_ORDER_MARKS.items():
        if marked == encoding:
            first = first.removeprefix(mark)
    return encoding, chain([first], chunks)


def decode_chunks(path: Path, chunks: Iterator[bytes], encoding: str) -> Iterator[str]:
    """Decode bytes in pieces.

    Raises:
        UserError: With the line, at the first byte that the encoding does not know.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    for chunk in chain(chunks, [b""]):
        try:
            part = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            good = codecs.getincrementaldecoder(encoding)().decode(error.object[: error.start])
            raise decode_error(path, line + good.count("\n"), error, encoding) from error
        except UnicodeError as error:  # UTF-16 or UTF-32 without the mark that says which
            raise UserError(
                str(path), f"has no mark that says which {encoding} it is", do=f"name {encoding}-le or {encoding}-be"
            ) from error
        line += part.count("\n")
        yield part


def decode_error(path: Path, line: int, error: UnicodeDecodeError, encoding: str) -> UserError:
    """Say that a text is not in its encoding, and in which it seems to be."""
    wrong = error.object[error.start : error.end].hex(" ")
    return UserError(
        str(path),
        f"line {line} is not {'UTF-8' if encoding == 'utf-8' else encoding}: {error.reason} (byte {wrong})",
        do=advice(str(path), error.object, error.start) if encoding == "utf-8" else GENERAL_ADVICE,
    )


def split_lines(path: Path, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Split text at newlines, which are taken off.

    Raises:
        UserError: If a line is longer than any row may be.
    """
    left, number = b"", 0
    for chunk in chunks:
        lines = (left + chunk).split(b"\n")
        left = lines.pop()
        number += len(lines)
        yield from lines
        if len(left) > MAX_LINE_BYTES:
            raise UserError(
                str(path), f"line {number + 1} is longer than {MAX_LINE_BYTES >> 20} MiB", do="write one row a line"
            )
    if left:
        yield left
