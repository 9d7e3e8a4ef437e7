"""Packed files, told by the ending of their names: .gz, .bz2, .xz."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

_OPEN: dict[str, Callable[[BinaryIO], object]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a file may raise, packed or not."""


def unpacked(file: BinaryIO, name: str) -> BinaryIO:
    """The content of an open file, unpacked as the ending of its name says."""
    packed = _OPEN.get(Path(name).suffix.lower())
    return file if packed is None else cast(BinaryIO, packed(file))


def plain_name(name: str) -> str:
    """The name of the content: without the ending of a packed file."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in _OPEN else name
