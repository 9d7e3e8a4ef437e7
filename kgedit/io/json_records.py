"""JSON from strangers, record by record: what is wrong with one record costs that record and no other.

(Only a bracket or quote that is never closed, in a file that is not one of lines, costs all that follows it.)

Bounded in size and nesting; numbers that are not JSON (NaN) and keys that occur twice are faults, since Python's
reader would accept them without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from kgedit.io.lines import bounded_lines
from kgedit.io.text import short

MAX_RECORD = 4 * 2**20  # characters; the largest real records (RippleEdits) have some 200,000
MAX_DEPTH = 32  # the deepest real ones (RippleEdits) have 8

# A whole string, a bracket, or the quote of a string that never ends.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}"]', re.DOTALL)
_BLANK = " \t\r\n\ufeff"


@dataclass(frozen=True)
class Parsed:
    """One record of a file: its value, or what is wrong with it."""

    index: int
    value: dict[str, Any] | None
    problem: str = ""


@dataclass(frozen=True)
class _Piece:
    """A stretch of text that should be one record, with its nesting depth."""

    text: str
    depth: int
    problem: str = ""


def parse_text(text: str) -> Iterator[Parsed]:
    """The records of an array of objects, of one object, or of objects that follow each other."""
    for index, piece in enumerate(_pieces(text)):
        yield Parsed(index, None, piece.problem) if piece.problem else _parse(index, piece.text, piece.depth)


def parse_lines(lines: BinaryIO) -> Iterator[Parsed]:
    """The records of a file with one object per line; blank lines do not count."""
    index = 0
    for line, length in bounded_lines(lines, MAX_RECORD + 2):  # the end of a line may have two bytes
        if max(length - 2, len(line.rstrip(b"\r\n"))) > MAX_RECORD:
            yield Parsed(index, None, f"the line is longer than {MAX_RECORD:,} bytes")
        elif not (text := line.decode("utf-8-sig" if index == 0 else "utf-8", "surrogateescape").strip()):
            continue
        else:
            yield _parse(index, text, _depth(text))
        index += 1


def _parse(index: int, text: str, depth: int) -> Parsed:
    if len(text) > MAX_RECORD:
        return Parsed(index, None, f"the record is longer than {MAX_RECORD:,} characters")
    if depth > MAX_DEPTH:
        return Parsed(index, None, f"nested {depth} deep where {MAX_DEPTH} is the most that is read")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except ValueError as error:  # broken JSON, one of the two below, or a number of thousands of digits
        return Parsed(index, None, f"not JSON that can be used: {short(str(error), 160)}")
    if not isinstance(value, dict):
        return Parsed(index, None, f"a record is a JSON object, this is {short(text, 60)}")
    return Parsed(index, value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = next(key for key in value if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {short(twice)!r} occurs twice in one object")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            depth -= 1
    return deepest


def _pieces(text: str) -> Iterator[_Piece]:
    """Cut a text where a top-level object ends (or, within an outer array, an object of it)."""
    base = 1 if text.lstrip(_BLANK).startswith("[") else 0
    depth = deepest = 0
    start = end = text.index("[") + 1 if base else 0
    for token in _TOKEN.finditer(text, end):
        if token[0] in "[{":
            if depth == 0:
                yield from _between(text[end : token.start()])
                start, deepest = token.start(), 0
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            depth -= 1
            if depth == 0:
                end = token.end()
                yield _Piece(text[start:end], deepest)
            elif depth < 0:  # the outer array is closed
                yield from _between(text[end : token.start()])
                yield from _after(text[token.start() + base :])
                return
        elif token[0] == '"':
            yield _rest("a string in it never ends", text, start)
            return
    if depth > 0:
        yield _rest("the file ends in the middle of it", text, start)
    elif base:
        yield from _between(text[end:])
        yield _Piece("", 0, "the file ends without closing its array; records may be missing")
    else:
        yield from _between(text[end:])


def _between(text: str) -> Iterator[_Piece]:
    stray = text.strip(_BLANK + ",")
    if stray:
        yield _Piece("", 0, f"a record is a JSON object, here stands {short(stray, 60)}")


def _after(text: str) -> Iterator[_Piece]:
    if stray := text.strip():
        yield _Piece("", 0, f"text after the end of the records: {short(stray, 60)}")


def _rest(problem: str, text: str, start: int) -> _Piece:
    beginning = short(text[start : start + 100], 60)
    return _Piece("", 0, f"{problem}: cut off or broken, and nothing after it can be told apart: {beginning}")
