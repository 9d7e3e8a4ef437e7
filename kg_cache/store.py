"""Facts on disk: triples, names, and what was fetched when and from where, in one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

from kg_cache.database import Database
from kg_cache.graph import Candidate, Entity, Neighbourhood, Relation, Triple
from kg_cache.ids import check_entity_id, check_relation_id
from kg_cache.resolve import Name, resolve_entity, resolve_relation
from kg_cache.text import sought
from kg_cache.writing import Rows, write

_PAGE = 10_000  # triples read at once when all are asked for


class Fetched(NamedTuple):
    """What an endpoint said of one item.

    Attributes:
        entity: The item.
        state: All its item-valued claims are stored, only some, it is unknown there, or merged into `target`.
        cut: Number of claims left out because of a limit.
        dropped: Number of claims left out because their value is no item.
        target: The item that this one was merged into.
    """

    entity: str
    state: Literal["complete", "partial", "missing", "redirect"]
    cut: int = 0
    dropped: int = 0
    target: str | None = None


class Store:
    """A knowledge graph in one file; also the memory of a `Wikidata` graph.

    Many processes may read while one writes. Every write is a transaction: after a crash or an error the file
    holds either all of it or nothing.

    Args:
        path: The SQLite file; made when absent, unless `read_only`.
        read_only: Refuse every write.
        name: Name of the graph in its provenance; the file's stem if not given.
        wal: See `Database`.
        wait: Seconds to wait for another writer.

    Attributes:
        path: The SQLite file.
        database: What reads and writes it.

    Raises:
        StoreError: Or one of its subclasses, see `Database`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        read_only: bool = False,
        name: str | None = None,
        wal: bool = True,
        wait: float = 5.0,
    ) -> None:
        self.path = Path(path)
        self._name = name or self.path.stem
        self.database = Database(self.path, read_only=read_only, wal=wal, wait=wait)

    @classmethod
    def open(cls, path: str | Path, read_only: bool = False) -> Store:
        """Open the store at `path`; see the class."""
        return cls(path, read_only=read_only)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    @property
    def name(self) -> str:
        """Name of the graph."""
        return self._name

    # Writing

    def add(
        self,
        triples: Iterable[Triple] = (),
        entities: Iterable[Entity] = (),
        source: str = "unknown",
        *,
        relations: Iterable[Relation] = (),
        fetched: Iterable[Fetched] = (),
    ) -> None:
        """Store facts and names in one transaction.

        Names of an item or property replace those it had. An item in `fetched` first loses the outgoing triples it
        had, so that a claim which no longer holds does not stay.

        Args:
            triples: Facts; ids are checked.
            entities: Items with their names.
            source: Where all of this comes from: an endpoint, a file, a snapshot.
            relations: Properties with their labels.
            fetched: What is now known about whole items.

        Raises:
            InvalidId: An id is malformed; nothing is stored.
            StoreLocked: Another process is writing.
            StoreFull: The disk is full; nothing is stored.
        """
        rows = Rows(facts=[(_item(s), _property(p), _item(o)) for s, p, o in triples])
        for item in entities:
            rows.names.append((_item(item.id), (item.label, *item.aliases)))
        for relation in relations:
            rows.names.append((-_property(relation.id), relation.aliases))
            rows.labels.append((_property(relation.id), relation.label))
        for f in fetched:
            target = _item(f.target) if f.target else None
            rows.fetched.append((_item(f.entity), f.state, f.cut, f.dropped, target))
        with self.database.writing():
            write(self.database, source, rows)

    # Reading

    def neighbours(self, ids: Sequence[str], *, limit: int = 500) -> Neighbourhood:
        """Outgoing triples of each item, by property number then item number, at most `limit` per item.

        A merged item answers with the claims of the item it was merged into, under the id that was asked for.

        Raises:
            InvalidId: An id is malformed.
            ValueError: The limit is negative.
        """
        query = "SELECT relation, object FROM triple WHERE subject = ? ORDER BY relation, object LIMIT ?"
        around = self._around(ids, query, lambda asked, p, o: Triple(asked, f"P{p}", f"Q{o}"), limit)
        states = {id: self._fetch_state(id) for id in dict.fromkeys(ids)}
        cut = {id for id, state in states.items() if state == "partial"}
        gone = {id for id, state in states.items() if state == "missing"}
        return around._replace(partial=around.partial | cut, missing=around.missing | gone)

    def incoming(self, ids: Sequence[str], *, limit: int = 500) -> Neighbourhood:
        """Stored triples whose object is the item, by property then item number, at most `limit` per item.

        Raises:
            InvalidId: An id is malformed.
            ValueError: The limit is negative.
        """
        query = "SELECT relation, subject FROM triple WHERE object = ? ORDER BY relation, subject LIMIT ?"
        return self._around(ids, query, lambda asked, p, s: Triple(f"Q{s}", f"P{p}", asked), limit)

    def subjects(self, relation: str, object: str, *, limit: int = 500) -> list[str]:
        """Items that have this object by this relation, by number.

        Raises:
            InvalidId: An id is malformed.
        """
        query = "SELECT subject FROM triple WHERE object = ? AND relation = ? ORDER BY subject LIMIT ?"
        rows = self.database.rows(query, (self._canonical(object), _property(relation), limit))
        return [f"Q{subject}" for (subject,) in rows]

    def _around(
        self, ids: Sequence[str], query: str, triple: Callable[[str, int, int], Triple], limit: int
    ) -> Neighbourhood:
        if limit < 0:
            raise ValueError(f"a limit of {limit} triples is negative; give the most triples wanted per item")
        triples: list[Triple] = []
        partial, missing = set(), set()
        for id in dict.fromkeys(ids):
            number = self._canonical(id)
            rows = self.database.rows(query, (number, limit + 1))
            triples += [triple(id, relation, other) for relation, other in rows[:limit]]
            if len(rows) > limit:
                partial.add(id)
            if not rows and not self._knows(number):
                missing.add(id)
        return Neighbourhood(tuple(triples), frozenset(partial), self.name, frozenset(missing))

    def _fetch_state(self, id: str) -> str | None:
        rows = self.database.rows("SELECT state FROM fetched WHERE entity = ?", (self._canonical(id),))
        return str(rows[0][0]) if rows else None

    def labels(self, ids: Sequence[str]) -> dict[str, str]:
        """Label of each item or property; the id itself where the store has none.

        Raises:
            InvalidId: An id is malformed.
        """
        labels = {}
        for id in dict.fromkeys(ids):
            if id.startswith("P"):
                rows = self.database.rows("SELECT label FROM relation WHERE id = ?", (_property(id),))
            else:
                number = self._canonical(id)
                rows = self.database.rows("SELECT text FROM name WHERE entity = ? AND rank = 0", (number,))
            labels[id] = rows[0][0] if rows else id
        return labels

    def aliases(self, id: str) -> tuple[str, ...]:
        """Other names of an item or property, in the order they were stored.

        Raises:
            InvalidId: The id is malformed.
        """
        number = -_property(id) if id.startswith("P") else self._canonical(id)
        rows = self.database.rows("SELECT text FROM name WHERE entity = ? AND rank > 0 ORDER BY rank", (number,))
        return tuple(text for (text,) in rows)

    def resolve(self, text: str) -> Candidate:
        """The item that an id, exact label or exact alias means.

        Raises:
            UnknownEntity: Nothing has this name; similar names are listed.
            AmbiguousLabel: Several items have it; they are listed with what they are.
        """
        return resolve_entity(self, text)

    def resolve_relation(self, text: str) -> Relation:
        """The property that an id, exact label or exact alias means.

        Raises:
            UnknownRelation: Nothing has this name; similar names are listed.
            AmbiguousLabel: Several properties have it.
        """
        return resolve_relation(self, text)

    def provenance(self) -> dict[str, object]:
        """Name, file, sources with the time of their first use, and counts."""
        count = {
            table: self.database.rows(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608
            for table in ("triple", "relation", "fetched")
        }
        entities = self.database.rows("SELECT count(*) FROM name WHERE rank = 0")[0][0]
        return {
            "name": self.name,
            "path": str(self.path),
            "sources": dict(self.database.rows("SELECT name, time FROM source ORDER BY id")),
            "triples": count["triple"],
            "entities": entities,
            "relations": count["relation"],
            "fetched": count["fetched"],
        }

    def triples(self) -> Iterator[Triple]:
        """Every stored fact, by subject, property and object number; in constant memory."""
        query = "SELECT subject, relation, object FROM triple WHERE (subject, relation, object) > (?, ?, ?)"
        last: tuple[int, ...] = (0, 0, 0)
        while rows := self.database.rows(f"{query} ORDER BY 1, 2, 3 LIMIT {_PAGE}", last):
            for s, p, o in rows:
                yield Triple(f"Q{s}", f"P{p}", f"Q{o}")
            last = rows[-1]

    def relations(self) -> list[Relation]:
        """Every property with a stored label, by number."""
        aliases: dict[int, list[str]] = {}
        for number, text in self.database.rows("SELECT entity, text FROM name WHERE entity < 0 ORDER BY entity, rank"):
            aliases.setdefault(-number, []).append(text)
        rows = self.database.rows("SELECT id, label FROM relation ORDER BY id")
        return [Relation(id=f"P{p}", label=label, aliases=tuple(aliases.get(p, ()))) for p, label in rows]

    def links(self, id: str) -> int:
        """Number of stored triples that the item is part of."""
        query = (
            "SELECT (SELECT count(*) FROM triple WHERE subject = ?) + (SELECT count(*) FROM triple WHERE object = ?)"
        )
        item = self._canonical(id)
        ((count,),) = self.database.rows(query, (item, item))
        return int(count)

    def names(self, text: str) -> list[Name]:
        """Items one of whose names equals `text` when case is ignored."""
        rows = self.database.rows(
            "SELECT entity, rank, text FROM name WHERE folded = ? AND entity > 0", (sought(text),)
        )
        return [Name(f"Q{entity}", rank, text) for entity, rank, text in rows]

    def names_near(self, text: str, *, same: int, limit: int = 5000) -> list[str]:
        """Names of items of about the same length.

        Args:
            text: A name that may be misspelt.
            same: Number of first letters that the names share with it.
            limit: The most names.
        """
        start = sought(text)[:same]
        query = (
            "SELECT text FROM name WHERE folded BETWEEN ? AND ? AND abs(length(text) - ?) < 4 AND entity > 0 LIMIT ?"
        )
        return list(
            dict.fromkeys(
                name for (name,) in self.database.rows(query, (start, start + "\U0010ffff", len(text), limit))
            )
        )

    def names_with(self, text: str, *, limit: int = 40) -> list[Name]:
        """Names of items that begin with `text`, then those with a later word that does; case is ignored.

        Later words are looked for in the first 100,000 names, so that an answer never waits for a whole dump.
        """
        start = sought(text)
        begin = (
            "SELECT entity, rank, text FROM name WHERE folded BETWEEN ? AND ? AND entity > 0 ORDER BY folded LIMIT ?"
        )
        within = (
            "SELECT entity, rank, text FROM (SELECT * FROM name WHERE entity > 0 LIMIT 100000) "
            "WHERE instr(folded, ?) LIMIT ?"
        )
        rows = self.database.rows(begin, (start, start + "\U0010ffff", limit))
        rows += self.database.rows(within, (f" {start}", limit)) if len(rows) < limit else []
        return [Name(f"Q{entity}", rank, text) for entity, rank, text in rows]

    def knows(self, id: str) -> bool:
        """Whether anything at all is stored about the item."""
        return self._knows(self._canonical(id))

    def canonical(self, id: str) -> str:
        """The item that this one was merged into, or the id itself."""
        return f"Q{self._canonical(id)}"

    def unfetched(self, ids: Iterable[str]) -> list[str]:
        """Those of the items whose outgoing triples were never asked of an endpoint, in order."""
        return [id for id in dict.fromkeys(ids) if self._fetch_state(id) is None]

    def unnamed(self, ids: Iterable[str]) -> list[str]:
        """Those of the items and properties that have no stored label, in order."""
        items, properties = (
            "SELECT 1 FROM name WHERE entity = ? AND rank = 0",
            "SELECT 1 FROM relation WHERE id = ?",
        )
        return [
            id
            for id in dict.fromkeys(ids)
            if not (
                self.database.rows(properties, (_property(id),))
                if id.startswith("P")
                else self.database.rows(items, (self._canonical(id),))
            )
        ]

    def _canonical(self, id: str) -> int:
        number = _item(id)
        merged = self.database.rows("SELECT target FROM fetched WHERE entity = ? AND state = 'redirect'", (number,))
        return int(merged[0][0]) if merged else number

    def _knows(self, number: int) -> bool:
        query = (
            "SELECT EXISTS (SELECT 1 FROM name WHERE entity = ?)"
            " OR EXISTS (SELECT 1 FROM triple WHERE subject = ?)"
            " OR EXISTS (SELECT 1 FROM triple WHERE object = ?)"
        )
        return self.database.rows(query, (number,) * 3) == [(1,)]


def _item(id: str) -> int:
    return int(check_entity_id(id)[1:])


def _property(id: str) -> int:
    return int(check_relation_id(id)[1:])
