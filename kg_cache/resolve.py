"""Resolves a text to the item or property it names: exact names only, ranked; what stays ambiguous is an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from string import ascii_lowercase
from typing import NamedTuple, Protocol

from kg_cache.errors import AmbiguousLabel, UnknownEntity, UnknownRelation
from kg_cache.graph import Candidate, Neighbourhood, Relation
from kg_cache.ids import as_id, as_id_in_any_case, id_order, is_entity_id
from kg_cache.nearest import did_you_mean, nearest
from kg_cache.text import fold, show

_FAR = 0.8  # names of items that are less alike are other items
_LISTED = 8  # candidates that a message lists
_CLEARLY = {"label": 30, "alias": 2}  # how much better linked than the next an item must be to be chosen by its name
# Relations that say what an item is, the most telling first: instance of, occupation, position; then where it belongs.
_TELLING = ("P31", "P106", "P39", "P279", "P641", "P136", "P17", "P131", "P50", "P175", "P57", "P27", "P30", "P22")
_FACTS = 100  # facts of an item that are looked through for them


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

    def names_near(self, text: str, *, same: int) -> list[str]:
        """Names that may be misspelt as the text, and share its first letters."""
        ...

    def neighbours(self, ids: Sequence[str], *, limit: int) -> Neighbourhood:
        """Outgoing triples of each item."""
        ...

    def incoming(self, ids: Sequence[str], *, limit: int) -> Neighbourhood:
        """Incoming triples of each item."""
        ...

    def relations(self) -> list[Relation]:
        """Every property with a stored label, by number."""
        ...


def resolve_entity(index: NameIndex, text: str) -> Candidate:
    """The item that an id, exact label or exact alias means.

    Names that equal the text letter by letter come before those that differ in case, labels before aliases,
    then items with more links, then smaller ids. Of several items with the label, the first is chosen if it has 30
    times the links of the next; of several with the alias, if it has more than twice. `Candidate.note` then says so;
    the items it beat are in `Candidate.also`. What nothing has as a name may be an id in lower case.

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
    if not names and (id := as_id_in_any_case(text)) != text and index.knows(id):
        return resolve_entity(index, id)
    if not names:
        raise UnknownEntity(f"no item of {index.name} is called {show(text)}; {_meant(_similar_items(index, text))}")
    ranked = _rank(index, names)
    first, others = ranked[0], [other for other in ranked[1:] if other.kind == ranked[0].kind]
    if not others:
        return first.model_copy(update={"also": tuple(other.id for other in ranked[1:])})
    listed = ", ".join(_described(index, candidate) for candidate in [first, *others][:_LISTED])
    listed += ", …" if len(others) >= _LISTED else ""
    if not _clearly_first(first, others[0]):
        raise AmbiguousLabel(
            f"{show(text)} means {1 + len(others)} items: {listed}; pass the id of one",
            [candidate.id for candidate in ranked],
        )
    note = f"{show(text)} is taken for the best linked of {1 + len(others)} items: {listed}; an id means one"
    return first.model_copy(update={"also": tuple(other.id for other in ranked[1:]), "note": note})


def resolve_relation(index: NameIndex, text: str) -> Relation:
    """The property that an id, exact label or exact alias means; a name that differs only in case counts, too.

    Raises:
        UnknownRelation: Nothing has this name.
        AmbiguousLabel: Several properties have it.
    """
    text = as_id(text)
    relations = index.relations()
    ways: tuple[Callable[[Relation], bool], ...] = (
        lambda relation: text in (relation.id, relation.label),
        lambda relation: fold(text) in (fold(relation.id), fold(relation.label)),
        lambda relation: text in relation.aliases,
        lambda relation: fold(text) in map(fold, relation.aliases),
    )
    matching = next(filter(None, ([relation for relation in relations if way(relation)] for way in ways)), [])
    if not matching:
        labels = [relation.label for relation in relations]
        aliases = [alias for relation in relations for alias in relation.aliases]
        similar = nearest(text, [*labels, *aliases], cutoff=0.5)
        raise UnknownRelation(f"no property of {index.name} is called {show(text)}; {_meant(similar)}", similar)
    if len(matching) > 1:
        listed = ", ".join(f"{relation.id} ({relation.label})" for relation in matching)
        raise AmbiguousLabel(f"{show(text)} means several properties: {listed}; pass the id of one")
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


def _clearly_first(first: Candidate, second: Candidate) -> bool:
    if first.kind == "alias":
        return first.links > _CLEARLY["alias"] * second.links
    return first.links >= _CLEARLY["label"] * max(1, second.links)


def _described(index: NameIndex, candidate: Candidate) -> str:
    """An item with its number of links and up to two facts that tell what it is."""
    links = f"{candidate.links} link{'' if candidate.links == 1 else 's'}"
    return f"{candidate.id} ({'; '.join([links, *what_it_is(index, candidate.id)])})"


def what_it_is(index: NameIndex, item: str) -> list[str]:
    """Up to two facts that tell what an item is, in words; one that leads to it where it has none of its own."""

    def place(relation: str) -> int:
        return _TELLING.index(relation) if relation in _TELLING else len(_TELLING)

    own = sorted(index.neighbours([item], limit=_FACTS).triples, key=lambda triple: place(triple.relation))
    of_each = list({triple.relation: triple for triple in reversed(own)}.values())[::-1][:2]
    about = [] if of_each else list(index.incoming([item], limit=1).triples)
    labels = index.labels([part for triple in (*of_each, *about) for part in triple])
    told = [f"{labels[triple.relation]} {labels[triple.object]}" for triple in of_each]
    return told + [f"{labels[triple.relation]} of {labels[triple.subject]}" for triple in about]


def _similar_items(index: NameIndex, text: str) -> list[str]:
    """Names that may be meant; of equally near ones the best linked come first."""
    # An index finds names that begin alike, and those of which only the first letter is another, dropped or too many.
    rest = text[1:]
    names = [
        found.text for start in ("", *ascii_lowercase) for tail in (rest, text) for found in index.names(start + tail)
    ]
    names += index.names_near(text, same=2) + index.names_near(text, same=1)
    similar = nearest(text, names, count=_LISTED, far=_FAR)
    links = {name: max((index.links(found.entity) for found in index.names(name)), default=0) for name in similar}
    return nearest(text, sorted(similar, key=lambda name: -links[name]), far=_FAR)


def _meant(near: Sequence[str]) -> str:
    return did_you_mean(near).rstrip() or "names are matched exactly"
