"""Tab-separated ids: item, property, item; or item or property, label, aliases joined by a bar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from kg_cache.dump.block import Block, Fact, Named, Place, Unreadable, Wanted
from kg_cache.dump.chunks import chunks
from kg_cache.errors import InvalidId
from kg_cache.ids import as_id_in_any_case, check_entity_id, check_relation_id, is_entity_id, is_relation_id
from kg_cache.text import show


def table(file: BinaryIO, wanted: Wanted, start: Place) -> Iterator[Block]:
    """The lines of a table; blank ones do not count."""
    for lines, first, end in chunks(file, start):
        facts: list[Fact] = []
        names: list[Named] = []
        unreadable: list[Unreadable] = []
        for number, line in enumerate(lines.split(b"\n"), first):
            try:
                row = _row(line.decode("utf-8")) if line.strip() else None
            except ValueError as error:  # also a malformed id and bytes that are no UTF-8
                unreadable.append(Unreadable(number, str(error)))
                continue
            if isinstance(row, Named):
                names += [row] if wanted.names else []
            elif row is not None and wanted.facts:
                facts.append(row)
        yield Block(facts, names, 0, unreadable, end)


def _row(line: str) -> Fact | Named:
    cells = line.rstrip("\r\n").split("\t")
    ids = [as_id_in_any_case(cell) for cell in cells[:3]]
    if len(cells) > 2 and _says_fact(*ids):
        try:
            subject, relation, target = check_entity_id(ids[0]), check_relation_id(ids[1]), check_entity_id(ids[2])
        except InvalidId as error:
            raise ValueError(f"{error}; a fact is item, property, item in this order, each by its id") from None
        return int(subject[1:]), int(relation[1:]), int(target[1:])
    if len(cells) < 2 or not cells[1]:
        raise ValueError(f"{show(line.rstrip())} has neither item, property, item nor id, label")
    named = check_relation_id(ids[0]) if ids[0].startswith("P") else check_entity_id(ids[0])
    return Named(named, cells[1], tuple(filter(None, "".join(cells[2:3]).split("|"))))


def _says_fact(first: str, second: str, third: str) -> bool:
    """Whether a row is meant as a fact: its property or its object is an id, be it in the wrong place.

    Read as a name, a fact in another order, or one whose property is told by its label, would rename its item.
    """
    property = is_relation_id(second) or (second[:1] == "P" and second[1:].isdigit())
    return property or is_entity_id(third) or (is_entity_id(second) and second != first)
