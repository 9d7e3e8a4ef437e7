"""One process and thread at a time: a lock file that names the process holding it.

The operating system frees the lock when its holder ends, however it ends; the file stays, since removing it would
let two waiters each lock a file of that name. Readers take no lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


class LockTimeout(Exception):
    """The lock stayed taken for the whole timeout; `owner` is the process id written in the file, if any."""

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(f"{path} is held by process {owner}")
        self.owner = owner


@contextmanager
def exclusive(path: Path, *, timeout: float) -> Iterator[None]:
    """Hold the lock file for the length of the block.

    Args:
        path: The lock file.
        timeout: Seconds to wait for the present holder.

    Raises:
        LockTimeout: Another thread or process kept the lock.
        OSError: The lock file cannot be opened.
    """
    lock = FileLock(path, timeout=timeout)
    try:
        lock.acquire()
    except Timeout:
        raise LockTimeout(path, _owner(path)) from None
    try:
        with suppress(OSError):  # a full disk: the lock holds without the name in it
            path.write_text(str(os.getpid()), encoding="ascii")
        yield
    finally:
        lock.release()


def _owner(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")[:20].strip() or "unknown"
    except OSError:  # Windows lets nobody read a locked file
        return "unknown"
