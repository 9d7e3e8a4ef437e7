"""Checksums of the journal's rows: a flipped bit in any of them is noticed when the journal is opened.

The steps form a chain: the checksum of each covers the one before it, and a checksum of its change as the step left
it. So a change is right if it is as its last step says. The other rows, which change in place, have checksums of their
own, written in the transaction that changes them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kg_cache.sqlite_file import SqliteFile

ENTRY = "id, key, slot, state, change, batch, place, delta, numbers, reason"
"""The columns of a change, all of which its checksum covers."""


def checksum(*values: Any) -> str:
    """SHA-256 of the values of a row."""
    written = json.dumps(values, ensure_ascii=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(written.encode()).hexdigest()


def entry_checksum(file: SqliteFile, entry: int) -> str:
    """The checksum of a change as it is."""
    (row,) = file.rows(f"SELECT {ENTRY} FROM entry WHERE id = ?", (entry,))  # noqa: S608
    return checksum(*row)


def add_step(file: SqliteFile, entry: int, state: str, reason: str, time: str) -> None:
    """Add a step to the chain, behind what it did to its change."""
    last = file.rows("SELECT id, checksum FROM step ORDER BY id DESC LIMIT 1")
    number, before = last[0] if last else (0, "")
    content = (number + 1, entry, state, reason, time, entry_checksum(file, entry))
    file.rows("INSERT INTO step VALUES (?, ?, ?, ?, ?, ?, ?)", (*content, checksum(before, *content)))


def first_damage(file: SqliteFile) -> str | None:
    """The first row that is not as it was written, in words; None if all are."""
    # 1. The chain of steps; what remains is the last checksum stated for each change.
    before, stated = "", dict[int, str]()
    columns = "id, entry, state, reason, time, entry_checksum, checksum"
    for *content, own in file.rows(f"SELECT {columns} FROM step ORDER BY id"):  # noqa: S608
        if checksum(before, *content) != own:
            return f"step {content[0]} (of change {content[1]})"
        before, stated[content[1]] = own, content[5]
    # 2. Every change against it.
    for row in file.rows(f"SELECT {ENTRY} FROM entry"):  # noqa: S608
        if stated.pop(row[0], None) != checksum(*row):
            return f"change {row[0]}"
    if stated:
        return f"change {min(stated)}"
    # 3. The rows that stand alone.
    for name, value, own in file.rows("SELECT name, value, checksum FROM about"):
        if checksum(name, value) != own:
            return f"the note {str(name)[:40]!r}"
    for feed, counts, result, own in file.rows("SELECT feed, counts, result, checksum FROM run"):
        if checksum(feed, counts, result) != own:
            return f"run {str(feed)[:16]!r}"
    return None
