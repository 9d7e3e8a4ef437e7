"""The lines of a file from strangers: bounded in length, checked as text, and honest about a file's sudden end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kg_cache.packed import UNREADABLE, unpacked
from kgedit.errors import FeedError

MAX_LINE = 1 << 16  # bytes; the longest edit (a prompt of 4,000 letters) takes a quarter of that
MAX_TEXT = 1 << 28  # bytes of a file that is read whole
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
    """Every line of a file, also of a packed one, in constant memory.

    Raises:
        FeedError: The file cannot be opened, or is UTF-16.
    """
    number = 0
    with _opened(path) as file:
        try:
            for raw, length in bounded_lines(file, MAX_LINE):
                number += 1
                yield _line(number, _marked(raw, path) if number == 1 else raw, length)
        except UNREADABLE as error:
            if number == 0:
                raise FeedError(f"{str(path)!r} cannot be read: {error}; give a whole, readable file") from error
            yield Line(number + 1, "", f"the file cannot be read from here on: {error}", False)


def read_text(path: Path) -> str:
    """The whole text of a file, also of a packed one; bytes that are no UTF-8 become lone surrogates.

    Raises:
        FeedError: The file cannot be read, is UTF-16, or is larger than `MAX_TEXT`.
    """
    with _opened(path) as file:
        try:
            raw = file.read(MAX_TEXT + 1)
        except UNREADABLE as error:
            raise FeedError(f"{str(path)!r} cannot be read: {error}; give a whole, readable file") from error
    if len(raw) > MAX_TEXT:
        raise FeedError(f"{str(path)!r} is larger than {MAX_TEXT:,} bytes; put one JSON object on each line")
    return _marked(raw, path).decode("utf-8", "surrogateescape")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise FeedError(f"{str(path)!r} cannot be opened: {error.strerror or error}; check the path") from error
    with file, unpacked(file, path.name) as content:
        yield content


def _marked(raw: bytes, path: Path) -> bytes:
    """The beginning of a file without the mark of UTF-8."""
    if raw[:2] in _UTF16:
        raise FeedError(f"{str(path)!r} is UTF-16 text; save it as UTF-8")
    return raw.removeprefix(b"\xef\xbb\xbf")


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
