"""The difference between two graphs as changes: each object of a subject and relation that only the newer one has."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from itertools import groupby, repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from kg_cache.errors import KnowledgeGraphError
from kg_cache.graph import Triple
from kg_cache.ids import id_order
from kg_cache.importing import import_triples
from kg_cache.store import Store
from kgedit.edit import Edit
from kgedit.errors import FeedError
from kgedit.ingest.change import Change, MalformedChange, Provenance, now
from kgedit.ingest.feeds.base import FeedItem, FeedOptions
from kgedit.ingest.feeds.wikidata import chosen_properties

_STORES = (".sqlite", ".db", ".store")

Slot = tuple[str, str]


class DifferenceFeed:
    """Changes that lead from one graph to another; by subject and property number, in constant memory."""

    def __init__(
        self,
        before: Path,
        after: Path,
        properties: Mapping[str, bool],
        *,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Name the graphs; they are opened when the feed is read.

        Args:
            before: A store (.sqlite), N-Triples (.nt), Turtle (.ttl) or tab-separated ids; packed files end in .gz.
            after: The newer one, likewise.
            properties: Property id -> whether it is single-valued; others are passed over.
            clock: Tells the present.
        """
        self.name, self.skipped = f"{before.name} to {after.name}", Counter[str]()
        self._before, self._after, self._properties, self._clock = before, after, properties, clock

    def __iter__(self) -> Iterator[FeedItem]:
        """MalformedChange lines first (the first of each file by name, the others counted), then the changes.

        Raises:
            FeedError: A graph cannot be read.
        """
        with ExitStack() as stack:
            before = yield from self._open(self._before, stack)
            after = yield from self._open(self._after, stack)
            for (subject, relation), was, there in _side_by_side(before, after):
                if relation not in self._properties:
                    self.skipped["another property"] += there != was
                    continue
                gone = [item for item in was if item not in there]
                if gone and all(item in was for item in there):
                    self.skipped["a value taken away, none put in its place"] += 1
                for item in there:
                    if item not in was:
                        yield self._change(subject, relation, item, gone)

    def _change(self, subject: str, relation: str, item: str, gone: list[str]) -> Change:
        old = gone[0] if len(gone) == 1 else None
        return Change(
            edit=Edit(subject=subject, relation=relation, target_new=item, target_true=old),
            provenance=Provenance(feed=self.name, position=f"{subject} {relation}", seen=self._clock()),
        )

    def _open(self, path: Path, stack: ExitStack) -> Generator[FeedItem, None, Store]:
        """The store of a graph: its own, or one built of its file."""
        try:
            if path.suffix in _STORES:
                return stack.enter_context(Store.open(path, read_only=True))
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="kgedit-difference-")))
            store = stack.enter_context(Store(folder / "graph.sqlite", wal=False))
            report = import_triples(path, store)
        except KnowledgeGraphError as error:
            raise FeedError(f"{str(path)!r} is no graph to compare: {error}") from error
        for example in report.examples:
            line, _, why = example.partition(": ")
            yield MalformedChange(feed=path.name, position=line, why=why[:300])
        if unnamed := report.malformed - len(report.examples):
            self.skipped[f"further malformed lines of {path.name}"] += unnamed
        return store


def open_difference(what: str, options: FeedOptions) -> DifferenceFeed:
    """Changes that turn an older graph (`--before`) into a newer one.

    Raises:
        FeedError: The older graph is not named.
    """
    if options.before is None:
        raise FeedError(f"a difference needs two graphs; name the one before {what!r} with --before")
    return DifferenceFeed(options.before, Path(what), chosen_properties(options.properties))


def _side_by_side(before: Store, after: Store) -> Iterator[tuple[Slot, list[str], list[str]]]:
    """Both graphs in one walk, by subject and relation number; a side that has nothing gives an empty list."""
    sides = zip(before.triples(), repeat(0)), zip(after.triples(), repeat(1))  # noqa: B905 (repeat has no end)
    merged = heapq.merge(*sides, key=lambda pair: (_order(pair[0]), pair[1]))
    for (subject, relation), pairs in groupby(merged, key=lambda pair: pair[0][:2]):
        objects: tuple[list[str], list[str]] = ([], [])
        for triple, newer in pairs:
            objects[newer].append(triple.object)
        yield (subject, relation), *objects


def _order(triple: Triple) -> tuple[tuple[str, int], ...]:
    return tuple(map(id_order, triple[:2]))
