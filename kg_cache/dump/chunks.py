"""Whole lines of a file from strangers, many at a time and in constant memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from kg_cache.dump.block import Place

_SIZE = 1 << 17  # bytes read at once


class Chunk(NamedTuple):
    """Whole lines, the number of the first of them, and the place behind the last."""

    lines: bytes
    first: int
    end: Place


def chunks(file: BinaryIO, start: Place, *, longest: int = 1 << 20) -> Iterator[Chunk]:
    """Lines from a place on, in chunks.

    Args:
        file: An open file.
        start: Where the lines begin; in a packed file, what lies before is unpacked and passed over.
        longest: Bytes of a line; of one that is longer, a part that no reader accepts stands in its place.
    """
    read, line, rest, passing = start.offset or skip_mark(file), start.line, b"", False
    if start.offset:
        file.seek(start.offset)
    while data := file.read(_SIZE):
        read += len(data)
        if passing:  # over what is left of a line that is too long
            data = data[data.find(b"\n") :] if b"\n" in data else b""
            passing = not data
        rest += data
        if end := rest.rfind(b"\n") + 1:
            whole, rest = rest[:end], rest[end:]
            first, line = line, line + whole.count(b"\n")
            yield Chunk(whole, first, Place(read - len(rest), line))
        if len(rest) > longest:
            rest, passing = b"\0" + rest[:40], True
    if rest:
        yield Chunk(rest, line, Place(read, line + 1))


def skip_mark(file: BinaryIO) -> int:
    """Pass over the mark of UTF-8 (BOM) at the beginning of a file; returns its length, 0 where there is none."""
    if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
        return len(codecs.BOM_UTF8)
    file.seek(0)
    return 0
