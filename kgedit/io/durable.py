"""Durable writes: files and folders flushed to the disk, and the error of a path that cannot be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kgedit.errors import SaveFailed


def flush(file: IO[bytes]) -> None:
    """Wait until what was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def flush_path(path: Path) -> None:
    """Wait until a closed file, or the names in a folder, are on the disk; Windows opens neither for that."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def made_folders(folder: Path) -> Iterator[None]:
    """Make a folder and those above it, durably; those that were made are gone again if the block fails.

    Raises:
        OSError: It cannot be made.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]  # the deepest first
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in made:
            flush_path(path.parent)
        yield
    except BaseException:
        _remove_empty(made)
        raise


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # not made after all, or somebody else put something in
            return


def append(path: Path, data: bytes) -> None:
    """Add bytes to a file and wait until they are on the disk.

    Raises:
        SaveFailed: The disk is full, or the file cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.write(data)
            flush(file)
    except OSError as error:
        raise save_failed(path, error, "start the same command again, it resumes") from error


def save_failed(path: Path, error: Exception, left: str = "nothing is half-written") -> SaveFailed:
    """The error for a path that could not be written.

    Args:
        path: The file or folder.
        error: The cause.
        left: What is on the disk now.
    """
    cause = getattr(error, "strerror", None) or error
    return SaveFailed(
        f"{path} could not be written: {cause} (disk full, read-only folder, or not a folder); {left}. "
        "Free some space or choose another folder."
    )
