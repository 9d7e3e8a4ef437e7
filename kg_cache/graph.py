"""A knowledge graph: triples of ids, items and properties with their labels, and the questions one may ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from kg_cache.ids import EntityId, RelationId


class Entity(BaseModel):
    """An item: its id, its label in the store's language (the id when it has none), its other names."""

    model_config = ConfigDict(frozen=True)

    id: EntityId
    label: str
    aliases: tuple[str, ...] = ()


class Relation(BaseModel):
    """A property: its id, its label, its other names."""

    model_config = ConfigDict(frozen=True)

    id: RelationId
    label: str
    aliases: tuple[str, ...] = ()


class Triple(NamedTuple):
    """One fact, as ids."""

    subject: str
    relation: str
    object: str


class Candidate(BaseModel):
    """An item that a text may mean.

    Attributes:
        id: The item.
        label: Its label.
        matched: The name that matched the text.
        kind: Whether that name is the item's id, its label, or one of its aliases.
        links: Number of stored triples that the item is part of.
        also: Ids of lower-ranked items that the same text could mean.
        note: Why this item was chosen, where others have the same name.
    """

    model_config = ConfigDict(frozen=True)

    id: EntityId
    label: str
    matched: str
    kind: Literal["id", "label", "alias"]
    links: int
    also: tuple[str, ...] = ()
    note: str = ""


class Neighbourhood(NamedTuple):
    """Triples around some items, and what is known to be missing from them.

    Attributes:
        triples: In the order of the items asked for, then by property number, then by item number.
        partial: Items of which triples were cut, here or when they were fetched.
        missing: Items that the graph does not know at all.
        source: The graph that answered.
    """

    triples: tuple[Triple, ...]
    partial: frozenset[str]
    source: str
    missing: frozenset[str] = frozenset()


class KnowledgeGraph(Protocol):
    """The questions that the rest of the program asks of a graph of facts."""

    @property
    def name(self) -> str:
        """Short name of the graph, for provenance."""
        ...

    def neighbours(self, ids: Sequence[str], *, limit: int = 500) -> Neighbourhood:
        """Outgoing item-valued triples of each item, at most `limit` per item."""
        ...

    def incoming(self, ids: Sequence[str], *, limit: int = 500) -> Neighbourhood:
        """Triples whose object is the item, at most `limit` per item; only what is stored locally."""
        ...

    def labels(self, ids: Sequence[str]) -> dict[str, str]:
        """Label of each item or property; the id itself where there is none."""
        ...

    def aliases(self, id: str) -> tuple[str, ...]:
        """Other names of an item."""
        ...

    def resolve(self, text: str) -> Candidate:
        """The item that an id, exact label or exact alias means."""
        ...

    def resolve_relation(self, text: str) -> Relation:
        """The property that an id, exact label or exact alias means."""
        ...

    def provenance(self) -> dict[str, object]:
        """Where the facts come from: name, file, snapshot hash or endpoint, counts."""
        ...


def named(labels: Mapping[str, str], item: str) -> bool:
    """Whether an item has a label among `labels` (as `KnowledgeGraph.labels` gives them), not only its id."""
    return labels.get(item, item).strip() not in ("", item)
