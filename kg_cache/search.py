"""Search over labels and aliases while somebody types: names, and words in them, that begin with what is typed."""

from __future__ import annotations

from typing import NamedTuple

from kg_cache.ids import as_id, as_id_in_any_case, id_order, is_entity_id
from kg_cache.resolve import Name, what_it_is
from kg_cache.store import Store
from kg_cache.text import fold


class FoundItem(NamedTuple):
    """An item that a search found.

    Attributes:
        id: The item.
        label: Its label.
        matched: The name that was found.
        description: What it is, in words.
    """

    id: str
    label: str
    matched: str
    description: str


def search_items(store: Store, text: str, *, limit: int = 8) -> list[FoundItem]:
    """Items whose id is the text, or one of whose names has a word that begins with it.

    Whole names come before beginnings, then items with more links.
    """
    text = text.strip()
    if not text:
        return []
    names = [] if is_entity_id(as_id(text)) else store.names_with(text)
    if not names and is_entity_id(id := as_id_in_any_case(text)) and store.knows(id):
        item = store.canonical(id)
        names = [Name(item, 0, store.labels([item])[item])]
    best: dict[str, Name] = {}
    for name in sorted(names, key=lambda name: (fold(name.text) != fold(text), name.rank)):
        best.setdefault(name.entity, name)
    order = sorted(
        best.values(),
        key=lambda name: (fold(name.text) != fold(text), -store.links(name.entity), id_order(name.entity)),
    )[:limit]
    labels = store.labels([name.entity for name in order])
    return [
        FoundItem(name.entity, labels[name.entity], name.text, "; ".join(what_it_is(store, name.entity)))
        for name in order
    ]
