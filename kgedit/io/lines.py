"""The lines of a file from strangers: bounded in length, checked as text, and honest about a file's sudden end."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from kgedit.errors import FeedError

MAX_LINE = 1 << 16  # bytes; the longest edit (a prompt of 4,000 letters) takes a quarter of that
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Line:
    """One line of a file.

    Attributes:
        number: From 1.
        text: Without its end; empty when there is a problem.
        problem: Why it cannot be used; empty if it can.
        ended: Whether a line break stood after it.
    """

    number: int
    text: str
    problem: str
    ended: bool


def read_lines(path: Path) -> Iterator[Line]:
    """Every line of a file, also of a packed one (.gz), in constant memory.

    Raises:
        FeedError: The file cannot be opened, or is UTF-16.
    """
    number = 0
    with ExitStack() as stack:
        try:
            plain = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise FeedError(f"{str(path)!r} cannot be opened: {error.strerror or error}; check the path") from error
        file = cast(BinaryIO, stack.enter_context(gzip.open(plain)) if path.suffix == ".gz" else plain)
        try:
            for raw, length in bounded_lines(file, MAX_LINE):
                number += 1
                if number == 1:
                    if raw[:2] in _UTF16:
                        raise FeedError(f"{str(path)!r} is UTF-16 text; save it as UTF-8")
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                yield _line(number, raw, length)
        except (OSError, EOFError, zlib.error) as error:
            if number == 0:
                raise FeedError(f"{str(path)!r} cannot be read: {error}; give a whole, readable file") from error
            yield Line(number + 1, "", f"the file cannot be read from here on: {error}", False)


def bounded_lines(file: BinaryIO, most: int) -> Iterator[tuple[bytes, int]]:
    """Every line of an open file with its length in bytes; of a line longer than `most`, the beginning and its end."""
    while first := file.readline(most):
        part, length = first, len(first)
        while len(part) == most and not part.endswith(b"\n"):
            part = file.readline(most)
            length += len(part)
        if length > len(first) and part.endswith(b"\n"):
            first += b"\n"
        yield first, length


def _line(number: int, raw: bytes, length: int) -> Line:
    ended = raw.endswith(b"\n")
    if length > MAX_LINE:
        return Line(number, "", f"the line has {length:,} bytes; {MAX_LINE:,} are the most that is read", ended)
    try:
        return Line(number, raw.decode("utf-8").rstrip("\r\n"), "", ended)
    except UnicodeDecodeError as error:
        return Line(number, "", f"not UTF-8 text (byte {error.start + 1} of the line: {error.reason})", ended)
