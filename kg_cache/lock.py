"""One at a time, across threads and processes: a lock file that names the process holding it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl


class LockTimeout(Exception):
    """The lock stayed taken for the whole timeout; `owner` is the process id written in the file, if any."""

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(f"{path} is held by process {owner}")
        self.owner = owner


@contextmanager
def exclusive(
    path: Path,
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lock file for the length of the block.

    Args:
        path: The lock file; it is left in place, since removing it would split later waiters.
        timeout: Seconds to wait for the present owner.
        clock: Monotonic seconds.
        sleep: Pauses for some seconds.

    Raises:
        LockTimeout: Another thread or process kept the lock.
        OSError: The lock file cannot be opened.
    """
    if sys.platform == "win32":  # no flock there: SQLite's own lock still keeps writers apart
        yield
        return
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = clock() + timeout
        while not _try_lock(handle):
            if clock() >= deadline:
                raise LockTimeout(path, os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown")
            sleep(0.05)
        _write_owner(handle)
        yield
    finally:
        os.close(handle)  # also releases the lock


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_owner(handle: int) -> None:
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode("ascii"), 0)
    except OSError:  # a full disk: the lock holds without the name on it
        return
