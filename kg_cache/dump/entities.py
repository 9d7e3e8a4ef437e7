"""Wikidata's JSON dump: an array with one entity on each line; of each property, its best-ranked statements count.

Also read: entities without the array around them, and what `Special:EntityData` answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from pydantic_core import from_json

from kg_cache.dump.block import Block, Fact, Named, Place, Unreadable, Wanted
from kg_cache.dump.chunks import chunks
from kg_cache.ids import is_entity_id, is_relation_id
from kg_cache.settings import SUBSTITUTES
from kg_cache.text import show

_LONGEST = 1 << 25  # bytes of a line; Wikidata takes no entity above 3 MB, and a small file may be one line


def entities(file: BinaryIO, wanted: Wanted, start: Place) -> Iterator[Block]:
    """The entities of a JSON dump; a broken one costs itself only."""
    for lines, first, end in chunks(file, start, longest=_LONGEST):
        block = Block([], [], 0, [], end)
        for number, line in enumerate(lines.split(b"\n"), first):
            text = line.strip(b" \t\r\n").removesuffix(b",")
            if text in (b"", b"[", b"]"):
                continue
            try:
                for entity in _listed(from_json(text)):
                    block = _added(block, entity, wanted)
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                block.unreadable.append(Unreadable(number, f"no entity: {show(str(error))}"))
        yield block


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 (JSON)
    """The entities of one line."""
    if isinstance(value, dict) and isinstance(value.get("entities"), dict):
        return list(value["entities"].values())
    return value if isinstance(value, list) else [value]


def _added(block: Block, entity: Mapping[str, Any], wanted: Wanted) -> Block:
    """The block with one entity; not even a part of it where something in it is not as Wikidata writes it."""
    id = entity["id"]
    if not isinstance(id, str) or not (is_entity_id(id) or is_relation_id(id)):
        if entity.get("type") in ("lexeme", "mediainfo"):
            return block._replace(others=block.others + 1)
        raise ValueError(f"{show(str(id))} is no id of an item or property")
    facts, others = _facts(entity)
    names = _names(entity, wanted)
    block.facts.extend(facts if wanted.facts else [])
    block.names.extend(names if wanted.names else [])
    return block._replace(others=block.others + others)


def _facts(entity: Mapping[str, Any]) -> tuple[list[Fact], int]:
    """The item-valued claims of an item, and the number of its other statements."""
    facts: list[Fact] = []
    others, subject = 0, entity["id"]
    for property, statements in (entity.get("claims") or {}).items():  # PHP writes an empty map as an empty list
        number = int(property[1:]) if is_relation_id(property) else None
        ranks = [statement.get("rank", "normal") for statement in statements]
        best = "preferred" if "preferred" in ranks else "normal"
        for rank, statement in zip(ranks, statements, strict=True):
            target = _item(statement["mainsnak"]) if rank == best else None
            if target is None or number is None or subject[0] != "Q":
                others += 1
            else:
                facts.append((int(subject[1:]), number, target))
    return facts, others


def _item(snak: Mapping[str, Any]) -> int | None:
    """The number of the item that a statement names; old dumps have no id beside it."""
    if snak["snaktype"] != "value" or snak["datavalue"]["type"] != "wikibase-entityid":
        return None
    value = snak["datavalue"]["value"]
    id = value.get("id") or (f"Q{value['numeric-id']}" if value.get("entity-type") == "item" else "")
    return int(id[1:]) if is_entity_id(id) else None


def _names(entity: Mapping[str, Any], wanted: Wanted) -> list[Named]:
    labels, aliases = entity.get("labels") or {}, entity.get("aliases") or {}
    language = wanted.language.lower()
    also = [_text(alias) for tag in dict.fromkeys((language, "mul")) for alias in aliases.get(tag) or ()]
    for tag in dict.fromkeys((language, *SUBSTITUTES)):
        if tag in labels and _text(labels[tag]).strip():
            return [wanted.labelled(entity["id"], _text(labels[tag]), tag)._replace(aliases=tuple(also))]
    return [Named(entity["id"], None, tuple(also))] if also else []


def _text(name: Mapping[str, Any]) -> str:
    if not isinstance(name["value"], str):
        raise ValueError(f"{show(str(name['value']))} is no name")
    return name["value"]
