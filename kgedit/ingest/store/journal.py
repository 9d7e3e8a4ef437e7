"""The journal: what became of every change, in one SQLite file that survives a killed process and a power cut.

    received -> prepared -> applied -> checked -> undone | superseded
       |            |          |
       +------------+----------+--> refused

A change is `prepared` once its delta lies on disk, flushed and named by its hash; `checked` changes are in force.
What happened first is decided by sequence numbers alone: a clock that goes backwards changes nothing.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kgedit.errors import FileCorrupt, JournalError, SaveFailed, StoreBusy, UnknownEdit
from kgedit.ingest.store.entry import NEXT, Entry, Move, Received, State, Step

APPLICATION_ID = 0x6B676A72  # "kgjr": tells a journal from any other SQLite file
VERSION = 1

_OPEN = ", ".join(f"'{state}'" for state in State if NEXT[state])

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, slot TEXT NOT NULL, state TEXT NOT NULL,
    change TEXT NOT NULL, batch INTEGER, place INTEGER, delta TEXT,
    numbers TEXT NOT NULL DEFAULT '{{}}', reason TEXT NOT NULL DEFAULT ''
);
-- a change is on its way or in force once; after it was refused, undone or superseded it may come again
CREATE UNIQUE INDEX entry_key ON entry (key) WHERE state IN ({_OPEN});
CREATE INDEX entry_state ON entry (state, id);
CREATE INDEX entry_slot ON entry (slot);
-- every step of every change, in the order in which it was taken; the time is for readers only
CREATE TABLE step (
    id INTEGER PRIMARY KEY, entry INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, time TEXT NOT NULL
);
CREATE TABLE run (feed TEXT PRIMARY KEY, counts TEXT NOT NULL, result TEXT);
"""


class Journal:
    """An open journal. Writers hold the store's lock, see `store.open_store`; readers need none.

    Every method either does all of what it says or raises and leaves the file as it was.
    """

    def __init__(self, path: Path, *, read_only: bool = False, clock: Callable[[], datetime] | None = None) -> None:
        """Open the file; made when it is absent and not `read_only`.

        Raises:
            JournalError: It is missing while `read_only`, of another version, or cannot be opened.
            FileCorrupt: It is damaged, or no journal.
            SaveFailed: Disk full or read-only folder.
        """
        self.path, self.read_only = path, read_only
        self._clock = clock or (lambda: datetime.now(UTC))
        if read_only and not path.is_file():
            raise JournalError(f"there is no journal at {path}; check the path, or begin one with `kgedit ingest run`")
        with self._plain_errors():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
                uri=True, timeout=5.0, isolation_level=None, check_same_thread=False,
            )  # fmt: skip
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def about(self, name: str) -> str | None:
        """A fact about the store itself, e.g. "base_hash"."""
        found = self._rows("SELECT value FROM about WHERE name = ?", (name,))
        return found[0][0] if found else None

    def set_about(self, values: Mapping[str, str]) -> None:
        """Note facts about the store."""
        with self.writing():
            for pair in values.items():
                self._rows(
                    "INSERT INTO about VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", pair
                )

    def receive(self, changes: Iterable[Received]) -> int:
        """Take changes in, all of them or none; one that is on its way or in force already is passed over.

        Returns:
            How many were new.
        """
        new = 0
        with self.writing():
            for change in changes:
                found = self._rows(
                    "INSERT INTO entry (key, slot, state, change) VALUES (?, ?, ?, ?) "  # noqa: S608
                    f"ON CONFLICT (key) WHERE state IN ({_OPEN}) DO NOTHING RETURNING id",
                    (change.key, change.slot, State.RECEIVED, _dump(change.change)),
                )
                for (entry,) in found:
                    self._step(entry, State.RECEIVED, "")
                    new += 1
        return new

    def move(self, moves: Sequence[Move], about: Mapping[str, str] | None = None) -> None:
        """Take steps, all of them or none, and note facts about the store in the same transaction.

        Raises:
            UnknownEdit: There is no such entry.
            JournalError: The state does not follow the one that the entry is in.
        """
        with self.writing():
            for move in moves:
                now = self.entry(move.entry).state
                if move.state not in NEXT[now]:
                    raise JournalError(
                        f"change {move.entry} is {now} and cannot become {move.state}; "
                        f"possible are: {', '.join(sorted(NEXT[now])) or 'none'}"
                    )
                columns = {"state": move.state, "reason": move.reason, **move.values}
                if "numbers" in columns:
                    columns["numbers"] = _dump({name: _plain(value) for name, value in columns["numbers"].items()})
                names = ", ".join(f"{name} = ?" for name in columns)
                self._rows(f"UPDATE entry SET {names} WHERE id = ?", (*columns.values(), move.entry))  # noqa: S608
                self._step(move.entry, move.state, move.reason)
            if about:
                self.set_about(about)

    def replace_delta(self, entries: Sequence[int], delta: str) -> None:
        """Name another delta for changes that share one, after it was computed anew without an undone change."""
        self._rows(
            f"UPDATE entry SET delta = ? WHERE id IN ({', '.join('?' * len(entries))})",  # noqa: S608
            (delta, *entries),
        )

    def entry(self, id: int) -> Entry:
        """One entry.

        Raises:
            UnknownEdit: There is none of this number.
        """
        for found in self._entries("WHERE id = ?", (id,)):
            return found
        raise UnknownEdit(f"the journal has no change {id}; `kgedit journal list` shows those it has")

    def find(self, key: str) -> Entry | None:
        """The last entry of an idempotence key; those before it were refused, undone or superseded."""
        return next(self._entries("WHERE key = ? ORDER BY id DESC LIMIT 1", (key,)), None)

    def entries(self, *states: State, after: int = 0, limit: int = -1) -> Iterator[Entry]:
        """Entries in the order of receipt, those of some states only if any are named."""
        marks = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
        return self._entries(f"WHERE id > ?{marks} ORDER BY id LIMIT ?", (after, *states, limit))

    def in_force(self) -> list[Entry]:
        """The changes that the weights carry, in the order in which their deltas are applied."""
        return list(self._entries("WHERE state = ? ORDER BY place, id", (State.CHECKED,)))

    def of_slot(self, slot: str) -> Entry | None:
        """The change in force of the same fact."""
        return next(self._entries("WHERE slot = ? AND state = ?", (slot, State.CHECKED)), None)

    def counts(self) -> dict[str, int]:
        """Number of entries in each state; all states are there."""
        found = dict(self._rows("SELECT state, count(*) FROM entry GROUP BY state"))
        return {str(state): found.get(state, 0) for state in State}

    def next_numbers(self) -> tuple[int, int]:
        """The next free batch number and the next free place."""
        ((batch, place),) = self._rows("SELECT coalesce(max(batch), 0) + 1, coalesce(max(place), 0) + 1 FROM entry")
        return batch, place

    def steps(self, id: int) -> list[Step]:
        """What happened to one change."""
        rows = self._rows("SELECT entry, state, reason, time FROM step WHERE entry = ? ORDER BY id", (id,))
        return [Step(entry=entry, state=State(state), reason=reason, time=time) for entry, state, reason, time in rows]

    def run(self, feed: str) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
        """Counts and, once it is finished, result of the run over a feed (by fingerprint); None if never begun."""
        for counts, result in self._rows("SELECT counts, result FROM run WHERE feed = ?", (feed,)):
            return json.loads(counts), None if result is None else json.loads(result)
        return None

    def runs(self) -> list[tuple[str, dict[str, Any], dict[str, Any] | None]]:
        """Fingerprint, counts and result of every run that was noted, in order; see `run`."""
        rows = self._rows("SELECT feed, counts, result FROM run ORDER BY rowid")
        return [(feed, json.loads(counts), json.loads(result) if result else None) for feed, counts, result in rows]

    def begin_run(self, feed: str, counts: Mapping[str, Any], changes: Iterable[Received]) -> int:
        """Note that a feed was planned, and take its changes in; in one transaction, see `receive`."""
        with self.writing():
            new = self.receive(changes)
            self._rows("INSERT INTO run VALUES (?, ?, NULL)", (feed, _dump(counts)))
        return new

    def end_run(self, feed: str, result: Mapping[str, Any]) -> None:
        """Note the result of a run."""
        with self.writing():
            self._rows("UPDATE run SET result = ? WHERE feed = ?", (_dump(result), feed))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: everything in the block is durable at its end, or nothing is. Nested blocks join."""
        if self._connection.in_transaction:
            yield
            return
        self._rows("BEGIN IMMEDIATE")
        try:
            yield
            self._rows("COMMIT")
        except BaseException:
            with self._plain_errors():
                self._connection.rollback()  # nothing happens where a full disk ended the transaction by itself
            raise

    def _prepare(self) -> None:
        if not self._rows("SELECT 1 FROM sqlite_master LIMIT 1") and not self.read_only:
            # Before the schema: a crash in between leaves an empty file, not a half-made journal.
            with self.writing():
                for statement in _SCHEMA.split(";\n"):
                    self._rows(statement)
        if self._rows("PRAGMA application_id") != [(APPLICATION_ID,)]:
            raise FileCorrupt(f"{self.path} is no journal of kgedit; check the path, or restore it from a copy")
        ((version,),) = self._rows("PRAGMA user_version")
        if version != VERSION:
            raise JournalError(f"{self.path} has version {version}, this kgedit reads {VERSION}; use the kgedit of it")
        findings = self._rows("PRAGMA quick_check(1)")
        if findings != [("ok",)]:
            raise FileCorrupt(f"{self.path} is damaged ({findings[0][0]}); restore the store from a copy")
        if not self.read_only:
            self._rows("PRAGMA journal_mode = WAL")
            self._rows("PRAGMA synchronous = FULL")

    def _step(self, entry: int, state: State, reason: str) -> None:
        time = self._clock().isoformat(timespec="seconds")
        self._rows("INSERT INTO step (entry, state, reason, time) VALUES (?, ?, ?, ?)", (entry, state, reason, time))

    def _entries(self, where: str, values: tuple[Any, ...]) -> Iterator[Entry]:
        columns = "id, key, slot, state, change, batch, place, delta, numbers, reason"
        for row in self._rows(f"SELECT {columns} FROM entry {where}", values):  # noqa: S608
            fields = dict(zip(columns.split(", "), row, strict=True))
            yield Entry(**{**fields, "change": json.loads(row[4]), "numbers": json.loads(row[8])})

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._plain_errors():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translate(error, self.path) from error


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _plain(value: Any) -> Any:
    """A number as JSON can hold it: what is not finite as its name."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _translate(error: sqlite3.Error, path: Path) -> Exception:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"another process is using {path}; let it finish")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return FileCorrupt(f"{path} is damaged or no journal ({error}); restore the store from a copy")
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return SaveFailed(
                f"{path} could not be written ({error}): disk full or read-only folder. "
                "Nothing is half-written; free some space or mend the rights, and run the same command again."
            )
        case _:
            return JournalError(f"{path} cannot be used ({error}); check the path and its rights")
