"""Tab-separated ids: item, property, item; or item or property, label, aliases joined by a bar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from kg_cache.dump.block import Block, Fact, Named, Place, Unreadable, Wanted
from kg_cache.dump.chunks import chunks
from kg_cache.ids import as_id, check_entity_id, check_relation_id
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
    first, *rest = line.rstrip("\r\n").split("\t")
    first, relation = as_id(first), as_id(rest[0]) if rest else ""
    if len(rest) > 1 and relation[:1] == "P" and relation[1:].isdigit():
        ids = check_entity_id(first), check_relation_id(relation), check_entity_id(as_id(rest[1]))
        return int(ids[0][1:]), int(ids[1][1:]), int(ids[2][1:])
    if not rest or not rest[0]:
        raise ValueError(f"{show(line.rstrip())} has neither item, property, item nor id, label")
    named = check_relation_id(first) if first.startswith("P") else check_entity_id(first)
    return Named(named, rest[0], tuple(filter(None, "".join(rest[1:2]).split("|"))))
