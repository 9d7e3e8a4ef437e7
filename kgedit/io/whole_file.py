"""A large file that is either wholly there or not there at all: made beside, flushed to disk, renamed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kgedit.io.durable import flush, flush_path, made_folders, save_failed
from kgedit.io.staging import staging


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Make a file in the block; it gets its name only when the block has ended well.

    Args:
        target: Its final name; a file that is there is replaced. A link is followed.

    Yields:
        The path to write to, on the same disk.

    Raises:
        SaveFailed: The disk is full, or the folder cannot be written; all is as before.
    """
    target = target.resolve()
    try:
        with made_folders(target.parent), staging(target.parent) as folder:
            beside = folder / target.name
            beside.touch()
            yield beside
            with beside.open("rb+") as file:
                flush(file)
            beside.replace(target)
            flush_path(target.parent)
    except OSError as error:
        raise save_failed(target, error) from error


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
