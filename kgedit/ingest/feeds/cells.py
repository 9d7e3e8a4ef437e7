"""Cells of a table row: comma-, semicolon- or tab-separated, or the terms of a SPARQL result in tab-separated form."""

from __future__ import annotations

import csv
import re

SEPARATORS = ",;\t"
_TERM = re.compile(r'"((?:[^"\\]|\\.)*)"(?:@[A-Za-z0-9-]+|\^\^\S+)?')
_TYPED = re.compile(r'"(?:@[A-Za-z]|\^\^)')  # a language or a datatype behind a quote
_ESCAPE = re.compile(r"\\([tnrbf\"'\\])")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f"}


class OpenCell(ValueError):
    """A quoted cell does not end where the text ends."""


def cells(text: str, separator: str) -> list[str]:
    """The cells of one row.

    Args:
        text: The row, without its end; a quoted cell may hold line breaks.
        separator: One of `SEPARATORS`.

    Raises:
        OpenCell: A quoted cell does not end.
        ValueError: It is no table row.
    """
    if separator == "\t" and _TYPED.search(text):
        return [_value(cell) for cell in text.split(separator)]
    try:
        return next(csv.reader([text], delimiter=separator, strict=True), [])
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise OpenCell(f"no table row ({error}); a quoted cell does not end") from error
        raise ValueError(f"no table row ({error})") from error


def _value(cell: str) -> str:
    """The text of an RDF term: without quotes, language, datatype and escapes; other cells as they are."""
    term = _TERM.fullmatch(cell.strip())
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), term[1]) if term else cell
