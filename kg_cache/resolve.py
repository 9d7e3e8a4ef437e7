"""Resolves a text to the item or property it names: exact names only, ranked; ambiguity is an error."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from kg_cache.errors import AmbiguousLabel, UnknownEntity, UnknownRelation
from kg_cache.graph import Candidate, Relation
from kg_cache.ids import as_id, id_order, is_entity_id
from kg_cache.text import show

_LISTED = 8  # candidates and similar names that a message lists


class Name(NamedTuple):
    """One stored name of an item; rank 0 is its label."""

    entity: str
    rank: int
    text: str


class NameIndex(Protocol):
    """Stored names as resolution asks for them; `Store` is one."""

    @property
    def name(self) -> str:
        """Name of the graph, for messages."""
        ...

    def knows(self, id: str) -> bool:
        """Whether anything is stored about the item."""
        ...

    def canonical(self, id: str) -> str:
        """The item that this one was merged into, or the id itself."""
        ...

    def labels(self, ids: Sequence[str]) -> dict[str, str]:
        """Label of each item or property; the id itself where there is none."""
        ...

    def links(self, id: str) -> int:
        """Number of stored triples that the item is part of."""
        ...

    def names(self, text: str) -> list[Name]:
        """Items one of whose names equals the text when case is ignored."""
        ...

    def names_near(self, text: str) -> list[str]:
        """Names that may be misspelt as the text."""
        ...

    def relations(self) -> list[Relation]:
        """Every property with a stored label, by number."""
        ...


def resolve_entity(index: NameIndex, text: str) -> Candidate:
    """The item that an id, exact label or exact alias means.

    Names that equal the text letter by letter come before those that differ in case, labels before aliases,
    then items with more links, then smaller ids. Two labels are ambiguous whatever their links; an alias wins
    when its item has more than twice the links of the next. The items it beat are in `Candidate.also`.

    Raises:
        UnknownEntity: Nothing has this name.
        AmbiguousLabel: Several items have it.
    """
    text = as_id(text)
    if is_entity_id(text):
        if not index.knows(text):
            raise UnknownEntity(f"{text} is not in {index.name}; fetch it first, or check the id")
        item = index.canonical(text)
        return Candidate(id=item, label=index.labels([item])[item], matched=text, kind="id", links=index.links(item))
    names = index.names(text)
    names = [name for name in names if name.text == text] or names
    if not names:
        near = difflib.get_close_matches(text, index.names_near(text), n=_LISTED)
        raise UnknownEntity(f"no item of {index.name} is called {show(text)}{_did_you_mean(near)}")
    ranked = _rank(index, names)
    first, others = ranked[0], [other for other in ranked[1:] if other.kind == ranked[0].kind]
    if others and (first.kind == "label" or first.links <= 2 * others[0].links):
        raise AmbiguousLabel(
            f"{show(text)} means {1 + len(others)} items: {_listed([first, *others])}; pass the id of one",
            [candidate.id for candidate in ranked],
        )
    return first.model_copy(update={"also": tuple(other.id for other in ranked[1:])})


def resolve_relation(index: NameIndex, text: str) -> Relation:
    """The property that an id or exact label means; a label that differs only in case counts too.

    Raises:
        UnknownRelation: Nothing has this name.
        AmbiguousLabel: Several properties have it.
    """
    text = as_id(text)
    relations = index.relations()
    matching = (
        [relation for relation in relations if text in (relation.id, relation.label)]
        or [relation for relation in relations if relation.label.casefold() == text.casefold()]
    )  # fmt: skip
    if not matching:
        labels = [relation.label for relation in relations]
        near = difflib.get_close_matches(text.casefold(), labels, n=_LISTED, cutoff=0.5)
        raise UnknownRelation(f"no property of {index.name} is called {show(text)}{_did_you_mean(near)}")
    if len(matching) > 1:
        raise AmbiguousLabel(
            f"{show(text)} means several properties: {', '.join(r.id for r in matching)}; pass one id"
        )
    if matching[0].label == matching[0].id:  # asked for once, and nobody had a label for it
        raise UnknownRelation(f"{text} is no known property of {index.name}; check the id")
    return matching[0]


def _rank(index: NameIndex, names: Sequence[Name]) -> list[Candidate]:
    best: dict[str, Name] = {}
    for name in sorted(names, key=lambda name: name.rank):
        best.setdefault(name.entity, name)
    labels = index.labels(list(best))
    candidates = [
        Candidate(
            id=item,
            label=labels[item],
            matched=name.text,
            kind="alias" if name.rank else "label",
            links=index.links(item),
        )
        for item, name in best.items()
    ]
    return sorted(candidates, key=lambda c: (c.kind != "label", -c.links, id_order(c.id)))


def _listed(candidates: Sequence[Candidate]) -> str:
    shown = ", ".join(f"{c.id} ({c.links} links)" for c in candidates[:_LISTED])
    return shown + (", …" if len(candidates) > _LISTED else "")


def _did_you_mean(near: Sequence[str]) -> str:
    return f"; did you mean {', '.join(map(show, near))}?" if near else "; names are matched exactly"
