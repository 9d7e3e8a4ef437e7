"""A checksum beside a file that nobody is writing to: SQLite notices a broken page, but not another letter in a text.

The checksum is taken away before the first write and put back when the writer has closed the file whole. So wherever
there is one, the file must have it; where there is none (a writer is at work or was killed, or the file was copied
alone), SQLite's own check has to do. Reading the file once is cheaper than that check.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

_MOST = 128  # bytes of a checksum file that are read


def checksum_path(path: Path) -> Path:
    """Where the checksum of a file lies."""
    return path.with_name(path.name + ".sha256")


def is_sealed(path: Path) -> bool:
    """Whether a file has a checksum."""
    return checksum_path(path).is_file()


def is_damaged(path: Path) -> bool:
    """Whether a file has a checksum that is not its own."""
    stated = _stated(path)
    while stated is not None:
        try:
            actual = _sha256(path)
        except OSError:  # no file, or none that can be read: for whoever opens it
            return False
        if stated == actual:
            return False
        again = _stated(path)
        if again == stated:
            return True
        stated = again  # a writer came in between
    return False


def seal(path: Path) -> None:
    """Put the checksum of a file beside it; not where the folder cannot be written."""
    with suppress(OSError):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".sha256", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(_sha256(path) + "\n")
            Path(name).chmod(0o644)
            Path(name).replace(checksum_path(path))
        finally:
            Path(name).unlink(missing_ok=True)


def unseal(path: Path) -> None:
    """Take the checksum away, since the file is about to change; after a power cut it is not back.

    Raises:
        OSError: It cannot be taken away.
    """
    if not is_sealed(path):
        return
    checksum_path(path).unlink(missing_ok=True)
    with suppress(OSError):  # not every platform can flush a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _stated(path: Path) -> str | None:
    try:
        return checksum_path(path).read_bytes()[:_MOST].decode("ascii", "replace").strip()
    except OSError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
