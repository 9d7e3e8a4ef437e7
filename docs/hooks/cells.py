"""Text as it is written into a cell of a Markdown table."""

from __future__ import annotations


def escaped(text: str) -> str:
    """The text on one line, with the signs that Markdown would read as its own escaped; code in backticks stays."""
    parts = " ".join(text.split()).split("`")
    return "`".join(part if index % 2 else _plain(part) for index, part in enumerate(parts))


def _plain(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "|*_[]{}" else sign for sign in text).replace("<", "&lt;")
