"""The tables of the journal: their version, how an older one is brought to it, and the errors of the file."""

from __future__ import annotations

from pathlib import Path

from kg_cache.sqlite_file import SqliteFault, SqliteFile, SqliteKind
from kgedit.errors import FileCorrupt, JournalError, SaveFailed, StoreBusy
from kgedit.ingest.store import entry
from kgedit.ingest.store.checksums import ENTRY, checksum, entry_checksum

APPLICATION_ID = 0x6B676A72  # "kgjr": tells a journal from any other SQLite file
VERSION = 2

OPEN = ", ".join(f"'{state}'" for state in entry.OPEN)
"""The states of a change that waits or is applied, as SQL."""

_SCHEMA = f"""
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, slot TEXT NOT NULL, state TEXT NOT NULL,
    change TEXT NOT NULL, batch INTEGER, place INTEGER, delta TEXT,
    numbers TEXT NOT NULL DEFAULT '{{}}', reason TEXT NOT NULL DEFAULT ''
);
-- a change is waiting or applied once; after it was refused, undone or superseded it may come again
CREATE UNIQUE INDEX entry_key ON entry (key) WHERE state IN ({OPEN});
CREATE INDEX entry_state ON entry (state, id);
CREATE INDEX entry_slot ON entry (slot);
-- every step of every change, in the order in which it was taken; the time is for readers only
CREATE TABLE step (
    id INTEGER PRIMARY KEY, entry INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, time TEXT NOT NULL,
    entry_checksum TEXT NOT NULL, checksum TEXT NOT NULL
);
CREATE INDEX step_entry ON step (entry);
CREATE TABLE run (feed TEXT PRIMARY KEY, counts TEXT NOT NULL, result TEXT, checksum TEXT NOT NULL);
"""

_COPY = "restore the store from a copy, or begin a new one and run its feeds again"


def damaged_row(row: str, path: Path) -> FileCorrupt:
    """The error of a row that is not as it was written."""
    return FileCorrupt(f"{row} of the journal {path} is damaged; {_COPY}")


def no_journal(path: Path) -> Exception:
    """The error of a journal that is not there."""
    return _error(SqliteFault.MISSING, path, "")


def _from_version_1(file: SqliteFile) -> None:
    """Version 1 had no checksums: the rows are taken as they are, and sealed."""
    # 1. The old tables make room, and the new ones are made.
    for index in ("entry_key", "entry_state", "entry_slot"):
        file.rows(f"DROP INDEX {index}")
    for table in ("about", "entry", "step", "run"):
        file.rows(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in JOURNAL.statements():
        file.rows(statement)
    # 2. Every row with its checksum. Of a change only the state behind its last step is known.
    for pair in file.rows("SELECT name, value FROM old_about"):
        file.rows("INSERT INTO about VALUES (?, ?, ?)", (*pair, checksum(*pair)))
    file.rows(f"INSERT INTO entry ({ENTRY}) SELECT {ENTRY} FROM old_entry")  # noqa: S608
    last = dict(file.rows("SELECT entry, max(id) FROM old_step GROUP BY entry"))
    before = ""
    for step in file.rows("SELECT id, entry, state, reason, time FROM old_step ORDER BY id"):
        content = (*step, entry_checksum(file, step[1]) if last[step[1]] == step[0] else "")
        before = checksum(before, *content)
        file.rows("INSERT INTO step VALUES (?, ?, ?, ?, ?, ?, ?)", (*content, before))
    for run in file.rows("SELECT feed, counts, result FROM old_run ORDER BY rowid"):
        file.rows("INSERT INTO run VALUES (?, ?, ?, ?)", (*run, checksum(*run)))
    for table in ("about", "entry", "step", "run"):
        file.rows(f"DROP TABLE old_{table}")


def _error(fault: SqliteFault, path: Path, detail: str) -> Exception:
    match fault:
        case SqliteFault.MISSING:
            return JournalError(
                f"there is no journal at {path}; check the path, or start one with `kgedit ingest run`"
            )
        case SqliteFault.FOREIGN:
            return FileCorrupt(f"{path} is no journal of kgedit; check the path, or restore it from a copy")
        case SqliteFault.OTHER_VERSION:
            return JournalError(
                f"{path} has version {detail}, this kgedit reads 1 to {VERSION}; use the kgedit that wrote it, or "
                "restore the store from a copy"
            )
        case SqliteFault.DAMAGED:
            return FileCorrupt(f"{path} is damaged or no journal ({detail}); {_COPY}")
        case SqliteFault.BUSY:
            return StoreBusy(f"another process is using {path}; let it finish")
        case SqliteFault.FULL | SqliteFault.NO_RIGHTS:
            return SaveFailed(
                f"{path} could not be opened or written ({detail}): disk full, or a read-only folder. "
                "Nothing is half-written; free some space or fix the permissions, and run the same command again."
            )
        case _:
            return JournalError(f"{path} cannot be used ({detail}); check the path, or {_COPY}")


# Indexes decide which changes are applied, so they are compared as well; a journal has some kB per change. Without a
# write-ahead log what is committed is in the file itself, covered by checksums, and can be read where nothing may be
# written.
JOURNAL = SqliteKind(APPLICATION_ID, VERSION, _SCHEMA, _error, older={1: _from_version_1}, thorough=True)
