"""The journal: the state of every change, in one SQLite file that survives a killed process and a power cut.

    received -> prepared -> applied -> checked -> undone | superseded
       |            |          |       |    ^ |
       +------------+----------+-------+> refused
                                              +-> countered -> undone | superseded

A change is `prepared` once its delta is on disk, flushed and named by its hash; the model carries the `checked` ones.
A consolidation decides about applied and refused changes again. What shares its delta with others is `countered` when
it is undone, until a consolidation trains the others without it.
Sequence numbers alone decide the order of events: a clock that goes backwards changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kg_cache.sqlite_file import SqliteFile
from kgedit.errors import JournalError, UnknownEdit
from kgedit.ingest.store.checksums import ENTRY, add_step, checksum, first_damage
from kgedit.ingest.store.entry import NEXT, Entry, Move, Received, State, Step
from kgedit.ingest.store.run_record import RunRecord, RunResult
from kgedit.ingest.store.tables import JOURNAL, OPEN, VERSION, damaged_row


class Journal:
    """An open journal. Writers hold the store's lock, see `store.open_store`; readers need none.

    Every method either does all of what it says or raises and leaves the file as it was.
    """

    def __init__(self, path: Path, *, read_only: bool = False, clock: Callable[[], datetime] | None = None) -> None:
        """Open the file and compare every row with its checksum; made when it is absent and not `read_only`.

        A journal of kgedit 0.1, which has no checksums, gets them when it is opened for writing.

        Raises:
            JournalError: It is missing while `read_only`, of another version, or cannot be opened.
            FileCorrupt: It is damaged, or no journal; the row is named.
            SaveFailed: Disk full or read-only folder.
        """
        self.path, self.read_only = path, read_only
        self._clock = clock or (lambda: datetime.now(UTC))
        self._file = SqliteFile(path, JOURNAL, read_only=read_only, wal=False)
        try:
            if self._file.version == VERSION:
                self._check()
        except BaseException:
            self._file.close()
            raise

    def _check(self) -> None:
        with self._file.reading():
            damage = first_damage(self._file)
        if damage:
            raise damaged_row(damage, self.path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def about(self, name: str) -> str | None:
        """A fact about the store itself, e.g. "base_hash"."""
        rows = self._rows("SELECT value FROM about WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def set_about(self, values: Mapping[str, str]) -> None:
        """Note facts about the store."""
        with self.writing():
            for pair in values.items():
                self._rows("INSERT OR REPLACE INTO about VALUES (?, ?, ?)", (*pair, checksum(*pair)))

    def receive(self, changes: Iterable[Received]) -> int:
        """Receive changes, all of them or none; one that is waiting or applied already is passed over.

        Returns:
            How many were new.
        """
        new = 0
        with self.writing():
            for change in changes:
                inserted = self._rows(
                    "INSERT INTO entry (key, slot, state, change) VALUES (?, ?, ?, ?) "  # noqa: S608
                    f"ON CONFLICT (key) WHERE state IN ({OPEN}) DO NOTHING RETURNING id",
                    (change.key, change.slot, State.RECEIVED, _dump(change.change.model_dump(mode="json"))),
                )
                for (entry,) in inserted:
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
                # 1. The state machine allows it.
                now = self.entry(move.entry).state
                if move.state not in NEXT[now]:
                    raise JournalError(
                        f"change {move.entry} is {now} and cannot become {move.state}; "
                        f"possible are: {', '.join(sorted(NEXT[now])) or 'none'}"
                    )
                # 2. The row, then the step that seals it.
                columns: dict[str, Any] = move.model_dump(exclude={"entry", "change"}, exclude_none=True)
                if move.state == State.RECEIVED:  # it waits again, and is decided in no batch
                    columns |= {"batch": None, "place": None, "delta": None}
                if move.change is not None:
                    columns["change"] = _dump(move.change.model_dump(mode="json"))
                if move.numbers is not None:
                    columns["numbers"] = _dump({name: _plain(value) for name, value in move.numbers.items()})
                names = ", ".join(f"{name} = ?" for name in columns)
                self._rows(f"UPDATE entry SET {names} WHERE id = ?", (*columns.values(), move.entry))  # noqa: S608
                self._step(move.entry, move.state, move.reason)
            if about:
                self.set_about(about)

    def replace_delta(self, entries: Sequence[int], delta: str, reason: str) -> None:
        """Name another delta for changes that share one; a step of each says why, in the state that it has."""
        with self.writing():
            for entry in entries:
                self._rows("UPDATE entry SET delta = ? WHERE id = ?", (delta, entry))
                self._step(entry, self.entry(entry).state, reason)

    def note_evidence(self, entry: Entry, dated: datetime, reason: str) -> None:
        """Note that newer evidence speaks for a change; a step says where it came from."""
        change = entry.change.model_copy(update={"newest": dated})
        with self.writing():
            written = _dump(change.model_dump(mode="json"))
            self._rows("UPDATE entry SET change = ? WHERE id = ?", (written, entry.id))
            self._step(entry.id, entry.state, reason)

    def entry(self, id: int) -> Entry:
        """One entry.

        Raises:
            UnknownEdit: There is none of this number.
        """
        for entry in self._entries("WHERE id = ?", (id,)):
            return entry
        raise UnknownEdit(f"the journal has no change {id}; `kgedit journal list` shows those it has")

    def find(self, key: str) -> Entry | None:
        """The last entry of an idempotence key; those before it were refused, undone or superseded."""
        return next(self._entries("WHERE key = ? ORDER BY id DESC LIMIT 1", (key,)), None)

    def entries(self, *states: State, after: int = 0, limit: int = -1) -> Iterator[Entry]:
        """Entries in the order of receipt, those of some states only if any are named."""
        marks = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
        return self._entries(f"WHERE id > ?{marks} ORDER BY id LIMIT ?", (after, *states, limit))

    def in_force(self) -> list[Entry]:
        """The applied changes, in the order in which their deltas are applied."""
        return list(self._entries("WHERE state = ? ORDER BY place, id", (State.CHECKED,)))

    def carried(self) -> list[Entry]:
        """The changes that keep deltas applied, in the order of these: those in force and those countered."""
        states = (State.CHECKED, State.COUNTERED)
        return list(self._entries("WHERE state IN (?, ?) ORDER BY place, id", states))

    def of_slot(self, slot: str, *, countered: bool = False) -> Entry | None:
        """The applied change of a fact; None if there is none.

        Args:
            slot: Key of the fact.
            countered: A change counts that was undone by a counter-patch: a later one supersedes it all the same.
        """
        states = (State.CHECKED, State.COUNTERED if countered else State.CHECKED)
        return next(self._entries("WHERE slot = ? AND state IN (?, ?)", (slot, *states)), None)

    def all_of_slot(self, slot: str) -> list[Entry]:
        """Every change of a fact, in the order of receipt."""
        return list(self._entries("WHERE slot = ? ORDER BY id", (slot,)))

    def last_of_slots(self) -> list[Entry]:
        """Of each fact the change that took the last step, in the order of receipt."""
        last = "SELECT max(step.id) FROM step JOIN entry ON entry.id = step.entry GROUP BY entry.slot"
        where = f"WHERE id IN (SELECT entry FROM step WHERE id IN ({last})) ORDER BY id"  # noqa: S608
        return list(self._entries(where, ()))

    def counts(self) -> dict[str, int]:
        """Number of entries in each state; all states are there."""
        counts = dict(self._rows("SELECT state, count(*) FROM entry GROUP BY state"))
        return {str(state): counts.get(state, 0) for state in State}

    def next_numbers(self) -> tuple[int, int]:
        """The next free batch number and the next free place."""
        ((batch, place),) = self._rows("SELECT coalesce(max(batch), 0) + 1, coalesce(max(place), 0) + 1 FROM entry")
        return batch, place

    def decided_after(self, batch: int) -> int:
        """Number of changes in force or refused that were decided in batches behind one."""
        states = (State.CHECKED, State.REFUSED)
        ((count,),) = self._rows("SELECT count(*) FROM entry WHERE batch > ? AND state IN (?, ?)", (batch, *states))
        return int(count)

    def steps(self, id: int) -> list[Step]:
        """What happened to one change."""
        rows = self._rows("SELECT entry, state, reason, time FROM step WHERE entry = ? ORDER BY id", (id,))
        with self._valid(f"a step of change {id}"):
            return [Step(entry=entry, state=state, reason=reason, time=time) for entry, state, reason, time in rows]

    def run(self, fingerprint: str) -> RunRecord | None:
        """The run over a feed; None if it was never begun."""
        return next(iter(self._runs("WHERE feed = ?", (fingerprint,))), None)

    def runs(self) -> list[RunRecord]:
        """Every run that was noted, in order."""
        return self._runs("ORDER BY rowid", ())

    def begin_run(self, fingerprint: str, counts: Mapping[str, int], changes: Iterable[Received]) -> int:
        """Note that a feed was planned, and receive its changes; in one transaction, see `receive`."""
        with self.writing():
            new = self.receive(changes)
            run = (fingerprint, _dump(counts), None)
            self._rows("INSERT INTO run VALUES (?, ?, ?, ?)", (*run, checksum(*run)))
        return new

    def end_run(self, fingerprint: str, result: RunResult) -> None:
        """Note the result of a run."""
        with self.writing():
            for feed, counts in self._rows("SELECT feed, counts FROM run WHERE feed = ?", (fingerprint,)):
                run = (feed, counts, _dump(result.model_dump(mode="json")))
                self._rows("UPDATE run SET result = ?, checksum = ? WHERE feed = ?", (run[2], checksum(*run), feed))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: everything in the block is durable at its end, or nothing is. Nested blocks join."""
        with self._file.transaction():
            yield

    def _step(self, entry: int, state: State, reason: str) -> None:
        add_step(self._file, entry, state, reason, self._clock().isoformat(timespec="seconds"))

    def _entries(self, where: str, values: tuple[Any, ...]) -> Iterator[Entry]:
        for row in self._rows(f"SELECT {ENTRY} FROM entry {where}", values):  # noqa: S608
            fields = dict(zip(ENTRY.split(", "), row, strict=True))
            with self._valid(f"change {row[0]}"):
                entry = Entry(**{**fields, "change": json.loads(row[4]), "numbers": json.loads(row[8])})
            yield entry

    def _runs(self, where: str, values: tuple[Any, ...]) -> list[RunRecord]:
        records = []
        for feed, counts, result in self._rows(f"SELECT feed, counts, result FROM run {where}", values):  # noqa: S608
            with self._valid(f"run {str(feed)[:16]!r}"):
                ended = None if result is None else json.loads(result)
                records.append(RunRecord(fingerprint=feed, counts=json.loads(counts), result=ended))
        return records

    @contextmanager
    def _valid(self, row: str) -> Iterator[None]:
        try:
            yield
        except (TypeError, ValueError) as error:  # of a version without checksums: no JSON, or without a field
            raise damaged_row(row, self.path) from error

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self._file.rows(statement, values)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _plain(value: Any) -> Any:
    """A number as JSON can hold it: what is not finite as its name."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
