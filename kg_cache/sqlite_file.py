"""An SQLite file of one kind: opened, checked, and every SQLite error turned into one of its owner's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal


class SqliteFault(Enum):
    """Why a file cannot be used."""

    MISSING = auto()
    """It is not there, and was to be read only."""
    FOREIGN = auto()
    """It is an SQLite file of another program."""
    OTHER_VERSION = auto()
    """It was written by another version of this one; the detail is the version."""
    DAMAGED = auto()
    """It is damaged, or no SQLite file."""
    BUSY = auto()
    """Another process is using it."""
    FULL = auto()
    """The disk is full, or failed."""
    NO_RIGHTS = auto()
    """It cannot be opened or written."""
    OTHER = auto()
    """Anything else that SQLite reports."""


# SQLite's primary result code decides; extended codes have it in their lowest byte.
_FAULTS = {
    sqlite3.SQLITE_BUSY: SqliteFault.BUSY,
    sqlite3.SQLITE_LOCKED: SqliteFault.BUSY,
    sqlite3.SQLITE_CORRUPT: SqliteFault.DAMAGED,
    sqlite3.SQLITE_NOTADB: SqliteFault.DAMAGED,
    sqlite3.SQLITE_FULL: SqliteFault.FULL,
    sqlite3.SQLITE_IOERR: SqliteFault.FULL,
    sqlite3.SQLITE_READONLY: SqliteFault.NO_RIGHTS,
    sqlite3.SQLITE_CANTOPEN: SqliteFault.NO_RIGHTS,
}


@dataclass(frozen=True)
class SqliteKind:
    """A kind of SQLite file.

    Attributes:
        application_id: Tells it from every other SQLite file (`PRAGMA application_id`).
        version: Of its tables (`PRAGMA user_version`).
        schema: The statements that make its tables, each ending in ";" and a line break.
        error: Makes the exception for a fault of the file, with what SQLite says in detail.
    """

    application_id: int
    version: int
    schema: str
    error: Callable[[SqliteFault, Path, str], Exception]


class SqliteFile:
    """One open file of a kind; every statement either does all of what it says or raises.

    Attributes:
        path: The file.
        read_only: Whether SQLite refuses every write.
    """

    def __init__(
        self,
        path: Path,
        kind: SqliteKind,
        *,
        read_only: bool = False,
        wal: bool = True,
        synchronous: Literal["NORMAL", "FULL"] = "FULL",
        wait: float = 5.0,
    ) -> None:
        """Open the file and check it whole; made when it is absent and not `read_only`.

        Args:
            path: The file; its folder exists.
            kind: What it must be.
            read_only: Refuse every write.
            wal: Write-ahead log, so that readers never wait; off for a file that is written once.
            synchronous: FULL makes each transaction survive a power cut; with NORMAL and a write-ahead log the
                last ones may be lost, but the file stays whole.
            wait: Seconds to wait for another process.

        Raises:
            Exception: What `kind.error` makes of the fault.
        """
        self.path, self.read_only, self._kind = path, read_only, kind
        if read_only and not path.is_file():
            raise self._error(SqliteFault.MISSING)
        with self._translated():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
                uri=True, timeout=wait, isolation_level=None, check_same_thread=False,
            )  # fmt: skip
        try:
            self._prepare()
            if not read_only:
                self.rows(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
                self.rows(f"PRAGMA synchronous = {synchronous}")
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        if not self.read_only and self._is_empty():
            # In one transaction: a crash leaves an empty file, never half of the tables.
            with self.transaction():
                if self._is_empty():  # no other process was faster
                    self.rows(f"PRAGMA application_id = {self._kind.application_id}")
                    self.rows(f"PRAGMA user_version = {self._kind.version}")
                    for statement in self._kind.schema.split(";\n"):
                        self.rows(statement)
        if self.rows("PRAGMA application_id") != [(self._kind.application_id,)]:
            raise self._error(SqliteFault.FOREIGN)
        ((version,),) = self.rows("PRAGMA user_version")
        if version != self._kind.version:
            raise self._error(SqliteFault.OTHER_VERSION, str(version))
        findings = self.rows("PRAGMA quick_check(1)")
        if findings != [("ok",)]:
            raise self._error(SqliteFault.DAMAGED, str(findings[0][0]))

    def _is_empty(self) -> bool:
        return not self.rows("SELECT 1 FROM sqlite_master LIMIT 1")

    def rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        with self._translated():
            return self._connection.execute(statement, values).fetchall()

    def run_many(self, statement: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement once for each of the values."""
        with self._translated():
            self._connection.executemany(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything in the block is stored at its end, or nothing is; a block within a block joins it."""
        if self._connection.in_transaction:
            yield
            return
        self.rows("BEGIN IMMEDIATE")
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            with self._translated():
                self._connection.rollback()  # nothing happens where a full disk ended the transaction by itself
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _error(self, fault: SqliteFault, detail: str = "") -> Exception:
        return self._kind.error(fault, self.path, detail)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise self._error(_FAULTS.get(code, SqliteFault.OTHER), str(error)) from error
