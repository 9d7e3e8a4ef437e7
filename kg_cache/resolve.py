"""From a text to the item or property it means: exact names only, ranked, and honest about ambiguity."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kg_cache.errors import AmbiguousLabel, UnknownEntity, UnknownRelation
from kg_cache.graph import Candidate, Relation, id_order, is_entity_id, show

if TYPE_CHECKING:
    from kg_cache.store import Store

_LISTED = 8  # candidates and similar names that a message lists


class Name(NamedTuple):
    """One stored name of an item; rank 0 is its label."""

    entity: str
    rank: int
    text: str


def resolve_entity(store: Store, text: str) -> Candidate:
    """The item that an id, exact label or exact alias means.

    Names that equal the text letter by letter come before those that differ in case, labels before aliases,
    then items with more links, then smaller ids. Two labels are ambiguous whatever their links; an alias wins
    when its item has more than twice the links of the next. The items it beat are in `Candidate.also`.

    Raises:
        UnknownEntity: Nothing has this name.
        AmbiguousLabel: Several items have it.
    """
    text = text.strip()
    if is_entity_id(text):
        if not store.knows(text):
            raise UnknownEntity(f"{text} is not in {store.name}; fetch it first, or check the id")
        item = store.canonical(text)
        return Candidate(id=item, label=store.labels([item])[item], matched=text, kind="id", links=store.links(item))
    names = store.names(text)
    names = [name for name in names if name.text == text] or names
    if not names:
        near = difflib.get_close_matches(text, store.names_near(text), n=_LISTED)
        raise UnknownEntity(f"no item of {store.name} is called {show(text)}{_did_you_mean(near)}")
    ranked = _rank(store, names)
    first, others = ranked[0], [other for other in ranked[1:] if other.kind == ranked[0].kind]
    if others and (first.kind == "label" or first.links <= 2 * others[0].links):
        raise AmbiguousLabel(
            f"{show(text)} means {1 + len(others)} items: {_listed([first, *others])}; pass the id of one",
            ranked,
        )
    return first.model_copy(update={"also": tuple(other.id for other in ranked[1:])})


def resolve_relation(store: Store, text: str) -> Relation:
    """The property that an id or exact label means; a label that differs only in case counts too.

    Raises:
        UnknownRelation: Nothing has this name.
        AmbiguousLabel: Several properties have it.
    """
    text = text.strip()
    relations = store.relations()
    found = (
        [relation for relation in relations if text in (relation.id, relation.label)]
        or [relation for relation in relations if relation.label.casefold() == text.casefold()]
    )  # fmt: skip
    if not found:
        labels = [relation.label for relation in relations]
        near = difflib.get_close_matches(text.casefold(), labels, n=_LISTED, cutoff=0.5)
        raise UnknownRelation(f"no property of {store.name} is called {show(text)}{_did_you_mean(near)}")
    if len(found) > 1:
        raise AmbiguousLabel(f"{show(text)} means several properties: {', '.join(r.id for r in found)}; pass one id")
    if found[0].label == found[0].id:  # asked for once, and nobody had a label for it
        raise UnknownRelation(f"{text} is no known property of {store.name}; check the id")
    return found[0]


def _rank(store: Store, names: Sequence[Name]) -> list[Candidate]:
    best: dict[str, Name] = {}
    for name in sorted(names, key=lambda name: name.rank):
        best.setdefault(name.entity, name)
    labels = store.labels(list(best))
    candidates = [
        Candidate(
            id=item,
            label=labels[item],
            matched=name.text,
            kind="alias" if name.rank else "label",
            links=store.links(item),
        )
        for item, name in best.items()
    ]
    return sorted(candidates, key=lambda c: (c.kind != "label", -c.links, id_order(c.id)))


def _listed(candidates: Sequence[Candidate]) -> str:
    shown = ", ".join(f"{c.id} ({c.links} links)" for c in candidates[:_LISTED])
    return shown + (", …" if len(candidates) > _LISTED else "")


def _did_you_mean(near: Sequence[str]) -> str:
    return f"; did you mean {', '.join(map(show, near))}?" if near else "; names are matched exactly"
