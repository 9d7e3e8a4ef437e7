"""Standard input as a feed: kept in a temporary file, its kind told from its beginning."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from kgedit.errors import FeedError
from kgedit.io.lines import read_lines

NAME = "standard input"
_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\x00": ".xz"}


def keep(source: BinaryIO | None = None) -> tuple[Path, TemporaryDirectory[str]]:
    """Copy standard input into a file of its own, which vanishes with the folder that comes with it.

    Args:
        source: Read in the place of standard input.
    """
    source = source or sys.stdin.buffer
    folder = TemporaryDirectory(prefix="kgedit-feed-")
    head = source.read(8)
    ending = next((ending for magic, ending in _MAGIC.items() if head.startswith(magic)), "")
    path = Path(folder.name) / f"input{ending}"
    with path.open("wb") as file:
        file.write(head)
        shutil.copyfileobj(source, file)
    return path, folder


def kind_of(path: Path) -> str:
    """The kind of a feed by its beginning: JSON lines, a JSON array, or else a table.

    Raises:
        FeedError: There is nothing, or it cannot be read.
    """
    first = next((line for line in read_lines(path) if line.problem or line.text.strip()), None)
    if first is None:
        raise FeedError("standard input is empty; give the records, or name a file")
    text = first.text.strip()
    if text.startswith("{") and text.endswith("}"):
        return "jsonl"
    return "json" if text.startswith(("{", "[")) else "csv"
