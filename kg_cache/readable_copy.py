"""A private copy of an SQLite file that cannot be read where it lies without writing beside it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

# Beside the file itself: committed pages not yet moved into it, and pages that a killed writer left to be put back.
_PARTS = ("", "-wal", "-journal")
_NEEDS_WRITING = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_ATTEMPTS = 5


def connect(path: Path, wait: float, *, read_only: bool) -> sqlite3.Connection:
    """A connection that commits by itself and may change threads; made to wait so many seconds for other processes."""
    mode = "ro" if read_only else "rwc"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=wait, isolation_level=None,
        check_same_thread=False,
    )  # fmt: skip


def readable(path: Path, wait: float, stack: ExitStack) -> Path:
    """The file; or a copy of it, as long as `stack` lives, where SQLite would have to write in order to read it.

    So it is in a folder without the right to write: a write-ahead log needs an index, which is a file, and what a
    killed writer left needs to be rolled back. SQLite's own way out (`immutable`) reads nonsense if a writer with
    more rights begins meanwhile, and passes over the write-ahead log.

    Raises:
        sqlite3.OperationalError: The file cannot be read at all, or changes all the time.
    """
    try:
        with closing(connect(path, wait, read_only=True)) as probe:
            probe.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in _NEEDS_WRITING:
            return path  # what is wrong is found again, and told, by whoever opens it
    else:
        return path
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="kgedit-read-")))
    for _ in range(_ATTEMPTS):
        before = _state(path)
        try:
            for part in _PARTS:
                _copy(path.with_name(path.name + part), folder / (path.name + part))
        except OSError:
            return path
        if _state(path) == before:  # no writer was at it between the first file and the last
            _settle(folder / path.name, wait)
            return folder / path.name
    return path


def _settle(copy: Path, wait: float) -> None:
    """Roll back or take in what lies beside the file; what is wrong with it is for whoever opens it."""
    with suppress(sqlite3.DatabaseError), closing(connect(copy, wait, read_only=False)) as writer:
        writer.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        shutil.copyfile(source, target)


def _state(path: Path) -> list[tuple[int, int] | None]:
    state: list[tuple[int, int] | None] = []
    for part in _PARTS:
        try:
            found = path.with_name(path.name + part).stat()
            state.append((found.st_size, found.st_mtime_ns))
        except OSError:
            state.append(None)
    return state
