"""Current statements of Wikidata about some items as changes: one for each value of a property that holds today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from kg_cache.ids import as_id, check_relation_id, is_entity_id
from kg_cache.text import show
from kgedit.edit import Edit
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.change import Change, MalformedChange, Provenance, now
from kgedit.ingest.feeds.api import Api
from kgedit.ingest.feeds.base import FeedItem, FeedOptions
from kgedit.ingest.feeds.settings import FeedSettings
from kgedit.ingest.feeds.statements import Value, current
from kgedit.io.lines import read_lines

_AT_ONCE = 50


class WikidataFeed:
    """The current values of some properties of some items.

    Several current values of a single-valued relation come as several changes of the same fact: planning sees the
    conflict and settles it by its policy.
    """

    def __init__(
        self,
        ids: Iterable[str],
        api: Api,
        properties: Mapping[str, bool],
        *,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Name items and properties; nothing is asked before the feed is read.

        Args:
            ids: Item ids, read as they are needed; whatever is none becomes a malformed record.
            api: Whom to ask.
            properties: Property id -> whether a subject normally has one value only.
            clock: Tells the present.
        """
        self.name, self.skipped = "wikidata", Counter[str]()
        self._ids, self._api, self._properties, self._clock = ids, api, properties, clock

    def __iter__(self) -> Iterator[FeedItem]:
        """The changes, item by item.

        Raises:
            EndpointError: The API gives no usable answer; what came before it stands.
        """
        ids = iter(self._ids)
        while chunk := list(islice(ids, _AT_ONCE)):
            for text in chunk:
                if not is_entity_id(text):
                    yield self._malformed(show(text), "no item id; an item id is Q and up to 12 digits, e.g. Q42")
            for id, entity in self._api.entities([text for text in chunk if is_entity_id(text)]):
                if entity is None:
                    yield self._malformed(id, "Wikidata has no such item; it was deleted or never there")
                else:
                    yield from self._changes(id, entity)

    def _changes(self, asked: str, entity: Mapping[str, Any]) -> Iterator[FeedItem]:
        subject = entity.get("id", asked)
        if not isinstance(subject, str) or not is_entity_id(subject):
            yield self._malformed(asked, f"the answer is about {show(str(subject))}, which is no item")
            return
        if subject != asked:
            self.skipped["merged items, read as what they became"] += 1
        for relation, single in self._properties.items():
            try:
                values = current(entity, relation, single=single, today=self._clock().date())
            except ValueError as error:
                yield self._malformed(subject, str(error))
                continue
            if not values and relation in (entity.get("claims") or {}):
                self.skipped["properties without a current value that is an item"] += 1
            for value in values:
                yield Change(
                    edit=Edit(subject=subject, relation=relation, target_new=value.item),
                    provenance=Provenance(
                        feed=self.name,
                        position=value.statement[:200],
                        seen=self._clock(),
                        dated=value.dated,
                        evidence=evidence(value),
                    ),
                )

    def _malformed(self, position: str, why: str) -> MalformedChange:
        return MalformedChange(feed=self.name, position=position, why=why)


def evidence(value: Value) -> str:
    """What speaks for a value, in a few words."""
    rank = "preferred" if value.preferred else "normal"
    return f"{rank} rank, {value.references} reference{'' if value.references == 1 else 's'}"


def chosen_properties(ids: Sequence[str]) -> dict[str, bool]:
    """Property id -> whether it is single-valued; all that can be put into words if none are asked for.

    Raises:
        InvalidId: One of those asked for is no property id.
        UnknownRelationText: It cannot be put into words.
    """
    text = Verbalizer.bundled()
    return {relation: text[relation].single for relation in map(check_relation_id, map(as_id, ids or text.texts))}


def open_wikidata(what: str, options: FeedOptions) -> WikidataFeed:
    """Current statements of Wikidata about the named items."""
    ids: Iterable[str] = [as_id(part) for part in what.split(",") if part.strip()]
    if not any(map(is_entity_id, ids)):
        ids = _listed(Path(what))
    return WikidataFeed(ids, Api(FeedSettings()), chosen_properties(options.properties))


def _listed(path: Path) -> Iterator[str]:
    for line in read_lines(path):
        if id := line.problem or as_id(line.text):
            yield id
