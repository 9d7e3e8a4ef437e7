"""The SQLite file under a store: its tables, one writer at a time, errors in plain words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kg_cache.checksum import checksum_path, is_damaged, seal, unseal
from kg_cache.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from kg_cache.lock import LockTimeout, exclusive
from kg_cache.sqlite_file import SqliteFault, SqliteFile, SqliteKind

APPLICATION_ID = 0x6B676361  # "kgca": tells a store from any other SQLite file
SCHEMA_VERSION = 1

_BY_OBJECT = "CREATE INDEX triple_object ON triple (object, relation, subject)"
# Ids are kept as their number: smaller, and the numeric order that answers have comes for free.
_SCHEMA = f"""
CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, time TEXT NOT NULL);
CREATE TABLE triple (
    subject INTEGER NOT NULL, relation INTEGER NOT NULL, object INTEGER NOT NULL, source INTEGER NOT NULL,
    PRIMARY KEY (subject, relation, object)
) WITHOUT ROWID;
{_BY_OBJECT};
-- rank 0 is an item's label, 1.. the aliases in their order; aliases of a property stand under minus its number
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
        self._lock = path.with_name(path.name + ".lock")
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the folder {path.parent} ({error}); set KGEDIT_CACHE_DIR") from error
        if is_damaged(path):
            raise StoreCorrupt(
                f"{path} is damaged: its bytes are not those that were last written to it; move it away and refetch, "
                f"import or restore it, or delete {checksum_path(path).name} if you changed the file yourself"
            )
        self._wrote = False
        if not read_only and wal != _has_write_ahead_log(path):
            self._unseal()  # SQLite notes the change of mode in the file
        self._file = SqliteFile(
            path, _STORE, read_only=read_only, wal=wal, synchronous="NORMAL" if wal else "FULL", wait=wait
        )

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        return self._file.rows(query, values)

    def execute(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """Run a statement once, or once per row; call it inside `writing`."""
        if rows is None:
            self._file.rows(statement)
        else:
            self._file.run_many(statement, rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: everything in the block is stored, or nothing is.

        Raises:
            StoreLocked: Another process kept writing for the whole wait; its process id is named.
            StoreError: The store is read-only.
        """
        if self.read_only:
            raise StoreError(f"{self.path} is opened read-only; write to a store of your own")
        try:
            # SQLite alone would keep writers apart too, but could not say which process is the other one.
            with self._guard, exclusive(self._lock, timeout=self._wait):
                self._unseal()
                with self._file.transaction():
                    yield
        except LockTimeout as error:
            raise StoreLocked(
                f"process {error.owner} is writing to {self.path} (waited {self._wait:g} s); "
                "let it finish, or use another file"
            ) from error
        except OSError as error:
            raise StoreError(f"cannot write beside {self.path} ({error}); set KGEDIT_CACHE_DIR") from error

    @contextmanager
    def filling(self) -> Iterator[None]:
        """A block that fills the store: if no fact is there yet, they are indexed by their object at its end only.

        Facts come in no order of their objects, so that keeping the index up to date costs more than all else. Where
        the process is killed, the block that goes on with its work makes the index.
        """
        if not self.rows("SELECT 1 FROM triple LIMIT 1"):
            with self.writing():
                self.execute("DROP INDEX IF EXISTS triple_object")
        try:
            yield
        except Exception:
            self.index()
            raise
        self.index()

    def index(self) -> None:
        """Index facts by their object, where they are not."""
        if not self.rows("SELECT 1 FROM sqlite_master WHERE name = 'triple_object'"):
            with self.writing():
                self.execute(_BY_OBJECT)

    def close(self) -> None:
        """Close the file; if this process wrote to it and no other does, put its checksum beside it."""
        if self._wrote:
            with suppress(LockTimeout, OSError, StoreError), exclusive(self._lock, timeout=0):
                # What stands in the write-ahead log goes into the file, unless somebody still reads from there.
                if self._file.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0:
                    seal(self.path)
        self._wrote = False
        self._file.close()

    def _unseal(self) -> None:
        unseal(self.path)
        self._wrote = True


def _has_write_ahead_log(path: Path) -> bool:
    """Whether a file is in this mode, by the version number in its header."""
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == b"\x02\x02"
    except OSError:
        return False


def _error(fault: SqliteFault, path: Path, detail: str) -> StoreError:
    match fault:
        case SqliteFault.MISSING:
            return StoreError(f"there is no store at {path}; fetch or import facts into it first")
        case SqliteFault.FOREIGN:
            return StoreCorrupt(f"{path} is not a kg_cache store; use another file name")
        case SqliteFault.OTHER_VERSION:
            return StoreError(f"{path} has store version {detail}, not {SCHEMA_VERSION}; rebuild or refetch it")
        case SqliteFault.DAMAGED:
            return StoreCorrupt(f"{path} is damaged or no store ({detail}); move it away and refetch or rebuild it")
        case SqliteFault.BUSY:
            return StoreLocked(f"another process is using {path}; let it finish, or use another file")
        case SqliteFault.FULL:
            return StoreFull(f"{path} could not be written ({detail}); free disk space. Nothing was changed")
        case _:
            return StoreError(f"{path} cannot be used ({detail}); check the path and its permissions")


_STORE = SqliteKind(APPLICATION_ID, SCHEMA_VERSION, _SCHEMA, _error)
