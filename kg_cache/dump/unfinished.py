"""How far an import has come, noted in the same transaction as its facts, so that a killed one goes on from there.

The note is a table of its own, which is there only while an import is unfinished.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from kg_cache.database import Database
from kg_cache.dump.block import Place


class Progressed(NamedTuple):
    """How far an import has come.

    Attributes:
        run: Which reading of the file it is in, from 0.
        place: Where that goes on.
        counts: What has been counted.
    """

    run: int
    place: Place
    counts: Mapping[str, Any]


def find(database: Database, work: str) -> Progressed | None:
    """How far the same work came that was left unfinished; None if other work was, or none.

    Args:
        database: Of the store that is filled.
        work: File and settings; another file of the same name is other work.
    """
    if not _noted(database):
        return None
    ((noted, run, offset, line, counts),) = database.rows("SELECT * FROM unfinished_import")
    return Progressed(run, Place(offset, line), json.loads(counts)) if noted == work else None


def note(database: Database, work: str, progressed: Progressed) -> None:
    """Note how far it is; inside of `Database.writing`, with what was read until there."""
    database.execute(
        "CREATE TABLE IF NOT EXISTS unfinished_import "
        "(work TEXT NOT NULL, run INTEGER NOT NULL, offset INTEGER NOT NULL, line INTEGER NOT NULL, counts TEXT)"
    )
    database.execute("DELETE FROM unfinished_import")
    database.execute(
        "INSERT INTO unfinished_import VALUES (?, ?, ?, ?, ?)",
        [(work, progressed.run, *progressed.place, json.dumps(progressed.counts))],
    )


def forget(database: Database) -> None:
    """Take the note away; inside of `Database.writing`."""
    database.execute("DROP TABLE IF EXISTS unfinished_import")


def _noted(database: Database) -> bool:
    return bool(database.rows("SELECT 1 FROM sqlite_master WHERE name = 'unfinished_import'"))
