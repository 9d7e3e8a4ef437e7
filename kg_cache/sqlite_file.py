"""An SQLite file of one kind: opened, checked, and every SQLite error turned into one of its owner's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal

from kg_cache.readable_copy import connect, readable


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


_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"


@dataclass(frozen=True)
class SqliteKind:
    """A kind of SQLite file.

    Attributes:
        application_id: Tells it from every other SQLite file (`PRAGMA application_id`).
        version: Of its tables (`PRAGMA user_version`).
        schema: The statements that make its tables, each ending in ";" and a line break.
        error: Makes the exception for a fault of the file, with what SQLite says in detail.
        older: Earlier versions, which are read as they are, each with what brings its tables to `version`; that
            happens in one transaction when the file is first opened for writing.
        thorough: Whether opening also compares every index with its table and the text of the schema with `schema`:
            for a small file in which a lost index entry does harm.
    """

    application_id: int
    version: int
    schema: str
    error: Callable[[SqliteFault, Path, str], Exception]
    older: Mapping[int, Callable[[SqliteFile], None]] = field(default_factory=dict)
    thorough: bool = False

    def statements(self) -> list[str]:
        """The statements of the schema, one by one."""
        return self.schema.split(";\n")


class SqliteFile:
    """One open file of a kind; every statement either does all of what it says or raises.

    Attributes:
        path: The file.
        read_only: Whether SQLite refuses every write.
        version: Version of its tables; the kind's, or an older one where it is only read.
    """

    version: int

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
        with ExitStack() as stack:
            with self._translated():
                opened = readable(path, wait, stack) if read_only else path
                self._connection = connect(opened, wait, read_only=read_only)
            stack.callback(self._connection.close)
            if kind.thorough:  # its owner compares what it reads with checksums, and names the row
                self._connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            self._prepare()
            if not read_only:
                self.rows(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
                self.rows(f"PRAGMA synchronous = {synchronous}")
            self._closing = stack.pop_all()

    def _prepare(self) -> None:
        if not self.read_only and self._is_empty():
            # In one transaction: a crash leaves an empty file, never half of the tables.
            with self.transaction():
                if self._is_empty():  # no other process was faster
                    self.rows(f"PRAGMA application_id = {self._kind.application_id}")
                    self.rows(f"PRAGMA user_version = {self._kind.version}")
                    for statement in self._kind.statements():
                        self.rows(statement)
        if self.rows("PRAGMA application_id") != [(self._kind.application_id,)]:
            raise self._error(SqliteFault.FOREIGN)
        ((self.version,),) = self.rows("PRAGMA user_version")
        if self.version != self._kind.version and self.version not in self._kind.older:
            raise self._error(SqliteFault.OTHER_VERSION, str(self.version))
        self._check()
        if self.version != self._kind.version and not self.read_only:
            with self.transaction():
                self._kind.older[self.version](self)
                self.rows(f"PRAGMA user_version = {self._kind.version}")
            self.version = self._kind.version

    def _check(self) -> None:
        """Compare the pages, and for a thorough kind the indexes and the schema."""
        check = "integrity_check" if self._kind.thorough else "quick_check"
        findings = self.rows(f"PRAGMA {check}(1)")
        if findings != [("ok",)]:
            raise self._error(SqliteFault.DAMAGED, " ".join(str(findings[0][0]).split()))
        if self._kind.thorough and self.version == self._kind.version:
            # A letter flipped in the text of an index's condition makes another index of it.
            with closing(sqlite3.connect(":memory:")) as model:
                for statement in self._kind.statements():
                    model.execute(statement)
                wanted = model.execute(_SCHEMA).fetchall()
            if self.rows(_SCHEMA) != wanted:
                raise self._error(SqliteFault.DAMAGED, "its tables are not those of a whole one")

    def _is_empty(self) -> bool:
        # Tables that a damaged first page hides are not made anew over the old ones.
        return self.rows("PRAGMA application_id") == [(0,)] and not self.rows("SELECT 1 FROM sqlite_master LIMIT 1")

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

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Every statement in the block sees the file as it is at the first of them, whoever writes meanwhile."""
        self.rows("BEGIN")
        try:
            yield
        finally:
            with self._translated():
                self._connection.rollback()

    def close(self) -> None:
        """Close the file."""
        self._closing.close()

    def _error(self, fault: SqliteFault, detail: str = "") -> Exception:
        return self._kind.error(fault, self.path, detail)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is None and isinstance(error, sqlite3.OperationalError):
                # Python's own: bytes of a text are not UTF-8; its message holds the whole text.
                raise self._error(SqliteFault.DAMAGED, "a text in it is not UTF-8") from error
            detail = " ".join(str(error).split())
            raise self._error(_FAULTS.get((code or 0) & 0xFF, SqliteFault.OTHER), detail) from error
