"""Keeps the records of a plan in the making in a temporary SQLite file, so that memory does not grow with the feed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime

from kgedit.ingest.change import slot_key
from kgedit.ingest.plan.plan import Planned, Verdict
from kgedit.ingest.plan.policy import Policy, Rival, winner

_SCHEMA = """
CREATE TABLE item (number INTEGER PRIMARY KEY, body TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL,
                   of INTEGER, key TEXT, slot TEXT, dated REAL);
CREATE INDEX item_key ON item (key, number);
CREATE INDEX item_slot ON item (slot, key, number);
"""
# The newest date of all records of a change; of one without a key there is none.
_NEWEST = "(SELECT max(dated) FROM item same WHERE same.key = item.key)"


class Spool:
    """Records with their verdicts so far; those that are `new` may still get another."""

    def __init__(self) -> None:
        """Open an empty temporary file; it is gone when the spool is closed."""
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA} BEGIN;")

    def close(self) -> None:
        """Delete the file."""
        self._db.close()

    def add(self, item: Planned) -> None:
        """Take a record in; its key and slot count if it is `new`."""
        keyed = item.edit if item.verdict is Verdict.NEW else None
        dated: datetime | None = item.change.provenance.dated if item.change else None
        self._db.execute(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                item.number, item.model_dump_json(), item.verdict, item.reason, item.of,
                item.key if keyed else None, slot_key(keyed) if keyed else None, dated.timestamp() if dated else None,
            ),
        )  # fmt: skip

    def merge_duplicates(self) -> None:
        """Of the records with one key the first stays `new`."""
        for number, first in self._db.execute(
            "SELECT i.number, f.number FROM item i JOIN (SELECT key, min(number) AS number FROM item "
            "WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1) f ON i.key = f.key AND i.number > f.number"
        ).fetchall():
            self.decide(number, Verdict.DUPLICATE, f"the same change as record {first}", first)

    def settle_conflicts(self, policy: Policy) -> None:
        """Of the records that give one fact different objects, at most one stays `new`."""
        slots = self._db.execute(
            "SELECT slot FROM item WHERE slot IS NOT NULL GROUP BY slot HAVING count(DISTINCT key) > 1"
        )
        for (slot,) in slots.fetchall():
            # One row per object: its first record, its last, and the newest date that speaks for it.
            rivals = self._db.execute(
                "SELECT min(number), max(number), max(dated) FROM item WHERE slot = ? GROUP BY key ORDER BY 1", (slot,)
            ).fetchall()
            holds, why = winner([Rival(*rival) for rival in rivals], policy)
            for first, _, _ in rivals:
                if first != holds:
                    other = holds or next(number for number, _, _ in rivals if number != first)
                    self.decide(
                        first, Verdict.CONFLICT, f"record {other} gives the same fact another object: {why}", other
                    )

    def decide(self, number: int, verdict: Verdict, reason: str, of: int | None = None) -> None:
        """Give a record its verdict."""
        self._db.execute(
            "UPDATE item SET verdict = ?, reason = ?, of = ? WHERE number = ?", (verdict, reason, of, number)
        )

    def batches(self, size: int) -> Iterator[list[Planned]]:
        """The records that are still `new`, in order, some at a time."""
        last = 0
        query = (
            f"SELECT number, body, {_NEWEST} FROM item "  # noqa: S608
            "WHERE verdict = ? AND number > ? ORDER BY number LIMIT ?"
        )
        while rows := self._db.execute(query, (Verdict.NEW, last, size)).fetchall():
            yield [_planned(body, newest) for _, body, newest in rows]
            last = rows[-1][0]

    def __len__(self) -> int:
        """Number of records."""
        return int(self._db.execute("SELECT count(*) FROM item").fetchone()[0])

    def waiting(self) -> int:
        """Number of records that are still `new`."""
        return int(self._db.execute("SELECT count(*) FROM item WHERE verdict = ?", (Verdict.NEW,)).fetchone()[0])

    def __iter__(self) -> Iterator[Planned]:
        """All records with their verdicts, in order."""
        for body, verdict, reason, of, newest in self._db.execute(
            f"SELECT body, verdict, reason, of, {_NEWEST} FROM item ORDER BY number"  # noqa: S608
        ):
            yield _planned(body, newest).model_copy(update={"verdict": Verdict(verdict), "reason": reason, "of": of})


def _planned(body: str, newest: float | None) -> Planned:
    item = Planned.model_validate_json(body)
    if newest is None or (item.dated and item.dated.timestamp() >= newest):
        return item
    return item.model_copy(update={"newest": datetime.fromtimestamp(newest, UTC)})
