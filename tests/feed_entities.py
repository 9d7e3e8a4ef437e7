"""Statements and items as Wikidata writes them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def moment(time: str, precision: int = 11) -> Json:
    """The snak of a time."""
    return {"snaktype": "value", "datavalue": {"type": "time", "value": {"time": time, "precision": precision}}}


def statement(
    item: str | None, *, rank: str = "normal", start: str = "", end: str = "", references: int = 0, retrieved: str = ""
) -> Json:
    """A statement whose value is an item, or unknown. Times are days, or "?" for an unknown one."""
    value = {"entity-type": "item", "id": item, "numeric-id": int(item[1:])} if item else None
    snak: Json = {"snaktype": "value", "datavalue": {"type": "wikibase-entityid", "value": value}}
    snaks = {"P813": [moment(f"+{retrieved}T00:00:00Z")]} if retrieved else {"P248": [{"snaktype": "somevalue"}]}
    qualifiers = {
        name: [{"snaktype": "somevalue"} if day == "?" else moment(f"+{day}T00:00:00Z")]
        for name, day in (("P580", start), ("P582", end))
        if day
    }
    return {
        "id": f"Q1${item}", "type": "statement", "rank": rank, "qualifiers": qualifiers or [],
        "mainsnak": snak if item else {"snaktype": "somevalue"}, "references": [{"snaks": snaks}] * references,
    }  # fmt: skip


def entity(id: str, **claims: list[Json]) -> Json:
    """An item with statements by property."""
    return {"type": "item", "id": id, "claims": claims or []}
