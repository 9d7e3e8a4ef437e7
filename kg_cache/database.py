"""The SQLite file under a store: opening, checking, one writer at a time, errors in plain words."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kg_cache.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from kg_cache.lock import LockTimeout, exclusive

APPLICATION_ID = 0x6B676361  # "kgca": tells a store from any other SQLite file
SCHEMA_VERSION = 1

# Ids are kept as their number: smaller, and the numeric order that answers have comes for free.
_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, time TEXT NOT NULL);
CREATE TABLE triple (
    subject INTEGER NOT NULL, relation INTEGER NOT NULL, object INTEGER NOT NULL, source INTEGER NOT NULL,
    PRIMARY KEY (subject, relation, object)
) WITHOUT ROWID;
CREATE INDEX triple_object ON triple (object, relation, subject);
-- rank 0 is the label, 1.. the aliases in their order
CREATE TABLE name (
    entity INTEGER NOT NULL, rank INTEGER NOT NULL, text TEXT NOT NULL, folded TEXT NOT NULL,
    PRIMARY KEY (entity, rank)
) WITHOUT ROWID;
CREATE INDEX name_folded ON name (folded);
CREATE TABLE relation (id INTEGER PRIMARY KEY, label TEXT NOT NULL);
-- what an endpoint said of an item's outgoing triples: all of them, some of them, item unknown, item merged
CREATE TABLE fetched (
    entity INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('complete', 'partial', 'missing', 'redirect')),
    source INTEGER NOT NULL, time TEXT NOT NULL,
    cut INTEGER NOT NULL, dropped INTEGER NOT NULL, target INTEGER
);
"""


class Database:
    """One open SQLite file that holds a store.

    Args:
        path: The file; made, with its folder, when it is absent and not `read_only`.
        read_only: Refuse every write.
        wal: Write-ahead log, so that readers never wait; off for a file that is written once.
        wait: Seconds to wait for another writer.

    Raises:
        StoreCorrupt: The file is damaged or is no store.
        StoreError: It is missing while `read_only`, of another version, or cannot be opened.
        StoreLocked: Another process writes.
        StoreFull: No space to create it.
    """

    def __init__(self, path: Path, *, read_only: bool = False, wal: bool = True, wait: float = 5.0) -> None:
        self.path = path
        self.read_only = read_only
        self._wait = wait
        self._guard = threading.RLock()
        if read_only and not path.is_file():
            raise StoreError(f"there is no store at {path}; fetch or import facts into it first")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the folder {path.parent} ({error}); set KGEDIT_CACHE_DIR") from error
        with self._plain_errors():
            mode = "ro" if read_only else "rwc"
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True, timeout=wait, isolation_level=None, check_same_thread=False,
            )  # fmt: skip
        try:
            self._prepare(wal)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, wal: bool) -> None:
        if not self.rows("SELECT 1 FROM sqlite_master LIMIT 1") and not self.read_only:
            with self.writing():
                if not self.rows("SELECT 1 FROM sqlite_master LIMIT 1"):  # no other process was faster
                    for statement in _SCHEMA.split(";\n"):
                        self.execute(statement)
        if self.rows("PRAGMA application_id") != [(APPLICATION_ID,)]:
            raise StoreCorrupt(f"{self.path} is not a kg_cache store; use another file name")
        ((version,),) = self.rows("PRAGMA user_version")
        if version != SCHEMA_VERSION:
            raise StoreError(f"{self.path} has store version {version}, not {SCHEMA_VERSION}; rebuild or refetch it")
        findings = self.rows("PRAGMA quick_check(1)")
        if findings != [("ok",)]:
            raise StoreCorrupt(f"{self.path} is damaged ({findings[0][0]}); move it away and refetch or rebuild it")
        if not self.read_only:
            self.rows(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
            self.execute(f"PRAGMA synchronous = {'NORMAL' if wal else 'FULL'}")

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        with self._plain_errors():
            return self._connection.execute(query, values).fetchall()

    def execute(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """Run a statement once, or once per row; call it inside `writing`."""
        with self._plain_errors():
            if rows is None:
                self._connection.execute(statement)
            else:
                self._connection.executemany(statement, rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: everything in the block is stored, or nothing is.

        Raises:
            StoreLocked: Another process kept writing for the whole wait; its process id is named.
            StoreError: The store is read-only.
        """
        if self.read_only:
            raise StoreError(f"{self.path} is opened read-only; write to a store of your own")
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            with self._guard, exclusive(lock, timeout=self._wait):
                self.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self.execute("COMMIT")
                except BaseException:
                    with self._plain_errors():
                        self._connection.rollback()
                    raise
        except LockTimeout as error:
            raise StoreLocked(
                f"process {error.owner} is writing to {self.path} (waited {self._wait:g} s); "
                "let it finish, or use another file"
            ) from error
        except OSError as error:
            raise StoreError(f"cannot write beside {self.path} ({error}); set KGEDIT_CACHE_DIR") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translate(error, self.path) from error


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    """SQLite's primary result code decides which of our errors it is."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreLocked(f"another process is using {path}; let it finish, or use another file")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreCorrupt(f"{path} is damaged or no store ({error}); move it away and refetch or rebuild it")
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return StoreFull(f"{path} could not be written ({error}); free disk space. Nothing was changed")
        case _:
            return StoreError(f"{path} cannot be used ({error}); check the path and its permissions")
