"""Text from elsewhere inside Markdown that kgedit writes: in a cell of a table, and in a block of Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence


def cell(text: str) -> str:
    """Text that can neither leave its cell nor become markup."""
    return re.sub(r"([\\|<>\[\]`*_])", r"\\\1", " ".join(text.split()))


def rows(columns: Sequence[str], lines: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of a table."""
    yield f"| {' | '.join(columns)} |"
    yield "|-" * len(columns) + "|"
    for line in lines:
        yield f"| {' | '.join(map(cell, line))} |"


def literal(text: str) -> str:
    """A text as Python writes it, without what would end the block of code."""
    return '"' + repr(text)[1:-1].replace("\\'", "'").replace('"', '\\"').replace("`", "\\x60") + '"'
