"""Wikidata, read through a store: what was fetched once is answered from disk, the rest is fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

from kg_cache.answers import Selects
from kg_cache.bundled import bundled_store
from kg_cache.claims import Claims, fetch_claims, fetch_names, fetch_presence
from kg_cache.errors import EndpointError, UnknownEntity, UnknownRelation
from kg_cache.graph import Candidate, Entity, KnowledgeGraph, Neighbourhood, Relation
from kg_cache.ids import as_id, check_entity_id, is_entity_id, is_relation_id
from kg_cache.settings import SUBSTITUTES, Settings
from kg_cache.store import Fetched, Store

_NAMES_PER_QUERY = 150  # keeps the address of a request under 4 kB


@dataclass
class FetchReport:
    """What one fetch brought.

    Attributes:
        items: Number of items asked about.
        triples: Number of triples stored.
        partial: Items of which claims were cut because of a limit, with how many.
        missing: Items that the endpoint's graph does not have.
        redirected: Items merged into others, with those others.
        dropped: Number of claims left out because their value is no item.
        unlabelled: Number of items and properties that have no label in any of the languages.
    """

    items: int = 0
    triples: int = 0
    partial: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    redirected: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    unlabelled: int = 0

    def notes(self) -> list[str]:
        """What a user should know about it, one sentence each."""
        notes = [f"{item} has {cut} more claims than were stored" for item, cut in self.partial.items()]
        notes += [f"{item} was merged into {target}" for item, target in self.redirected.items()]
        if self.missing:
            notes.append(
                f"not on this graph: {', '.join(self.missing)}; deleted, or on another endpoint "
                "(scholarly articles are at https://query-scholarly.wikidata.org/sparql)"
            )
        return notes


class Wikidata:
    """A knowledge graph that asks its store first and an endpoint for what is missing.

    Once fetched, an item is answered from the store, and no socket is opened, until `fetch` is called for it.

    Args:
        store: Where fetched facts are kept.
        endpoint: Whom to ask for what is missing; None means offline.
        settings: Chunk sizes, limits and language.
        offline: Never ask; items that were not fetched are answered from what is stored and marked partial.
        use_stored: When the endpoint fails, answer as if offline instead of raising.
        names: Another graph in which labels that the store does not know are looked up, e.g. the bundled one.
    """

    def __init__(
        self,
        store: Store,
        endpoint: Selects | None = None,
        *,
        settings: Settings | None = None,
        offline: bool = False,
        use_stored: bool = False,
        names: KnowledgeGraph | None = None,
    ) -> None:
        self.store = store
        self._endpoint = None if offline else endpoint
        self._settings = settings or Settings()
        self._use_stored = use_stored
        self._names = names

    @classmethod
    def open(
        cls,
        settings: Settings | None = None,
        *,
        offline: bool = False,
        use_stored: bool = False,
        on_wait: Callable[[float, str], None] | None = None,
    ) -> Wikidata:
        """The graph of the settings' endpoint, kept in the cache folder, with the snapshot's names.

        Raises:
            StoreError: The store cannot be opened.
        """
        from kg_cache.sparql import Endpoint  # brings rdflib along, which only a fetch needs

        settings = settings or Settings()
        host = (urlsplit(settings.endpoint).hostname or "").replace(":", "_")
        store = Store(settings.cache_dir / f"{host}-{settings.language}.sqlite")
        endpoint = None if offline else Endpoint(settings, on_wait=on_wait)
        names = bundled_store(settings.cache_dir)
        return cls(store, endpoint, settings=settings, use_stored=use_stored, names=names)

    def __enter__(self) -> Wikidata:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; `names` stays open, since others may be using it."""
        self.store.close()

    @property
    def name(self) -> str:
        """Name of the graph."""
        return self.store.name

    # Fetching

    def fetch(self, ids: Sequence[str]) -> FetchReport:
        """Ask the endpoint for the items' outgoing claims and all names they need, whether stored or not.

        Each chunk is stored as it arrives: when a later one fails, what came before is kept.

        Raises:
            InvalidId: An id is malformed; nothing was asked.
            EndpointError: The endpoint gives no usable answer, or the graph is offline.
        """
        items = list(dict.fromkeys(map(check_entity_id, ids)))
        report = FetchReport(items=len(items))
        self._fetch_claims(items, report)
        # A merged item is followed once; a target that was itself merged or deleted is recorded as it is.
        if targets := self.store.unfetched(report.redirected.values()):
            self._fetch_claims(targets, report, follow=False)
        return report

    def _fetch_claims(self, ids: Sequence[str], report: FetchReport, follow: bool = True) -> None:
        size, limit = self._settings.chunk_size, self._settings.entity_limit
        for batch in fetch_claims(self._online, ids, chunk_size=size, entity_limit=limit):
            # An item without claims may be missing or merged: asked once more.
            bare = [claims.item for claims in batch if not claims.triples and not claims.dropped and not claims.cut]
            present = fetch_presence(self._online, bare, chunk_size=size)
            records = [self._record(claims, present, report, follow) for claims in batch]
            triples = [triple for claims in batch for triple in claims.triples]
            report.triples += len(triples)
            # Names that the store lacks, of the items, their properties and their objects.
            known = [record.entity for record in records if record.state in ("complete", "partial")]
            wanted = dict.fromkeys([*known, *(t.relation for t in triples), *(t.object for t in triples)])
            entities, relations = self._ask_names(self.store.unnamed(wanted), report)
            self.store.add(triples, entities, self._settings.endpoint, relations=relations, fetched=records)

    @staticmethod
    def _record(claims: Claims, present: dict[str, str | None], report: FetchReport, follow: bool) -> Fetched:
        item = claims.item
        if claims.triples or claims.dropped or claims.cut:
            report.dropped += claims.dropped
            if claims.cut:
                report.partial[item] = claims.cut
            return Fetched(item, "partial" if claims.cut else "complete", claims.cut, claims.dropped)
        target = present.get(item) if follow else None
        if target:
            report.redirected[item] = target
            return Fetched(item, "redirect", target=target)
        if item in present:
            return Fetched(item, "complete")
        report.missing.append(item)
        return Fetched(item, "missing")

    def _ask_names(self, ids: Sequence[str], report: FetchReport | None = None) -> tuple[list[Entity], list[Relation]]:
        entities, relations = [], []
        languages = list(dict.fromkeys([self._settings.language, *SUBSTITUTES]))
        for batch in fetch_names(self._online, ids, languages=languages, chunk_size=_NAMES_PER_QUERY):
            for id, label, aliases in batch:
                if report and label is None:
                    report.unlabelled += 1
                # An id as the label records that there is none, so that nobody asks again.
                if id.startswith("P"):
                    relations.append(Relation(id=id, label=label or id, aliases=aliases))
                else:
                    entities.append(Entity(id=id, label=label or id, aliases=aliases))
        return entities, relations

    @property
    def _online(self) -> Selects:
        if self._endpoint is None:
            raise EndpointError("the graph is offline; open it online to fetch")
        return self._endpoint

    def _read_through(self, fetch: Callable[[], object]) -> None:
        if self._endpoint is None:
            return
        try:
            fetch()
        except EndpointError:
            if not self._use_stored:
                raise

    # Reading

    def neighbours(self, ids: Sequence[str], *, limit: int = 500) -> Neighbourhood:
        """Outgoing triples of each item, fetched where they are not stored; see `Store.neighbours`.

        Items that could not be fetched are in `partial`.

        Raises:
            InvalidId: An id is malformed; nothing was asked.
            EndpointError: The endpoint gives no usable answer and `use_stored` is off; what it gave is kept.
        """
        wanted = self.store.unfetched(ids)
        if wanted:
            self._read_through(lambda: self.fetch(wanted))
        stored = self.store.neighbours(ids, limit=limit)
        return stored._replace(partial=stored.partial | frozenset(self.store.unfetched(wanted)))

    def incoming(self, ids: Sequence[str], *, limit: int = 500) -> Neighbourhood:
        """Stored triples whose object is the item; an endpoint is never asked, since hubs have millions."""
        return self.store.incoming(ids, limit=limit)

    def labels(self, ids: Sequence[str]) -> dict[str, str]:
        """Label of each item or property, fetched where it is not stored; the id itself where there is none.

        Raises:
            InvalidId: An id is malformed; nothing was asked.
            EndpointError: The endpoint gives no usable answer and `use_stored` is off.
        """
        self._need_names(ids)
        return self.store.labels(ids)

    def aliases(self, id: str) -> tuple[str, ...]:
        """Other names of an item, fetched with its label."""
        self._need_names([id])
        return self.store.aliases(id)

    def _need_names(self, ids: Iterable[str]) -> None:
        def fetch() -> None:
            entities, relations = self._ask_names(wanted)
            self.store.add(entities=entities, source=self._settings.endpoint, relations=relations)

        if wanted := self.store.unnamed(ids):
            self._read_through(fetch)

    def resolve(self, text: str) -> Candidate:
        """The item that an id, exact label or exact alias means.

        An unknown id is fetched once. Labels are looked up in the store, then in `names`, never in a query.

        Raises:
            UnknownEntity: Nothing has this name.
            AmbiguousLabel: Several items have it.
        """
        text = as_id(text)
        try:
            return self.store.resolve(text)
        except UnknownEntity:
            if is_entity_id(text):
                if self.store.unfetched([text]):  # and not a deleted item
                    self._read_through(lambda: self.fetch([text]))
            elif self._names:
                return self._names.resolve(text)
            return self.store.resolve(text)

    def resolve_relation(self, text: str) -> Relation:
        """The property that an id, exact label or exact alias means; an unknown id is fetched.

        Raises:
            UnknownRelation: Nothing has this name.
        """
        text = as_id(text)
        try:
            return self.store.resolve_relation(text)
        except UnknownRelation:
            if is_relation_id(text):
                self._need_names([text])
            elif self._names:
                return self._names.resolve_relation(text)
            return self.store.resolve_relation(text)

    def provenance(self) -> dict[str, object]:
        """That of the store, with the endpoint and the language of the labels."""
        return {
            **self.store.provenance(),
            "endpoint": self._settings.endpoint,
            "language": self._settings.language,
            "offline": self._endpoint is None,
        }
