"""Rows of facts and names, as the tables of a store hold them, and the statements that write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from kg_cache.database import Database
from kg_cache.text import fold, storable


@dataclass
class Rows:
    """What is written in one transaction; ids are numbers here.

    Attributes:
        facts: Subject, property, object.
        names: An item with its label and aliases, or minus a property's number with its aliases: all that it has.
        labels: A property and its label.
        fetched: An item, what an endpoint said of it, claims cut and dropped, and the item it was merged into. It
            first loses the facts that it had.
    """

    facts: list[tuple[int, int, int]] = field(default_factory=list)
    names: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    labels: list[tuple[int, str]] = field(default_factory=list)
    fetched: list[tuple[int, str, int, int, int | None]] = field(default_factory=list)


def write(database: Database, source: str, rows: Rows) -> None:
    """Write rows inside of `Database.writing`, with where they come from."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    database.execute("INSERT OR IGNORE INTO source (name, time) VALUES (?, ?)", [(source, now)])
    ((origin,),) = database.rows("SELECT id FROM source WHERE name = ?", (source,))
    database.execute("DELETE FROM triple WHERE subject = ?", [(row[0],) for row in rows.fetched])
    database.execute(f"INSERT OR REPLACE INTO triple VALUES (?, ?, ?, {int(origin)})", rows.facts)  # noqa: S608
    database.execute("DELETE FROM name WHERE entity = ?", [(number,) for number, _ in rows.names])
    database.execute(
        "INSERT OR REPLACE INTO name VALUES (?, ?, ?, ?)",
        [
            (number, rank, text, fold(text))
            for number, texts in rows.names
            for rank, text in enumerate(map(storable, texts), int(number < 0))  # the label of an item has rank 0
        ],
    )
    labels = [(number, storable(label)) for number, label in rows.labels]
    database.execute("INSERT OR REPLACE INTO relation VALUES (?, ?)", labels)
    database.execute(
        "INSERT OR REPLACE INTO fetched VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(item, state, origin, now, cut, dropped, target) for item, state, cut, dropped, target in rows.fetched],
    )
