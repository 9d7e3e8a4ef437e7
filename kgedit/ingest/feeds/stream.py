"""Wikidata's stream of recent changes: which facts each of them changed, by the item's statements before and after."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from kg_cache.ids import as_id, check_entity_id, is_entity_id
from kgedit.edit import Edit
from kgedit.errors import FeedError
from kgedit.ingest.change import Change, MalformedChange, Provenance, now
from kgedit.ingest.feeds.api import Api, Json
from kgedit.ingest.feeds.base import FeedItem, FeedOptions
from kgedit.ingest.feeds.events import EventSource
from kgedit.ingest.feeds.settings import FeedSettings
from kgedit.ingest.feeds.sse import Event
from kgedit.ingest.feeds.statements import current
from kgedit.ingest.feeds.wikidata import chosen_properties, evidence
from kgedit.io.json_records import parse_lines
from kgedit.io.text import reason, short

# Wikibase begins the comment of an edit with what it did: names and links to wikis are no statements, and an edit
# of one statement links its property.
_NO_STATEMENT = re.compile(r"/\* wbset(label|description|aliases|labeldescriptionaliases|sitelink)\b")
_ONE_STATEMENT = re.compile(r"/\* wb(set|create|remove)claims?[a-z-]*:[^*]*\*/ \[\[Property:(P[0-9]+)\]\]")


class _Meta(BaseModel):
    model_config = ConfigDict(extra="ignore")

    dt: AwareDatetime | None = None
    domain: str | None = None


class _Revisions(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    new: int
    old: int | None = None


class _RecentChange(BaseModel):
    """What counts of an event; the order of its keys varies, and older ones lack some."""

    model_config = ConfigDict(extra="ignore")

    meta: _Meta
    type: str | None = None
    wiki: str | None = None
    namespace: int | None = None
    title: str = ""
    comment: str = ""
    revision: _Revisions | None = None


class StreamFeed:
    """Changes of facts, in the order of the events that made them.

    The position of a change is the id of its event: `since` in another run goes on after it. Events may come more
    than once; planning merges what they repeat.

    Attributes:
        answered: Number of events about which the API was asked, and answered.
    """

    def __init__(
        self,
        events: Iterable[Event],
        api: Api,
        properties: Mapping[str, bool],
        *,
        entities: Collection[str] = (),
        wiki: str = "wikidatawiki",
        limit: int | None = None,
        until: datetime | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Name what is wanted; nothing is read yet.

        Args:
            events: The events.
            api: Where the items' revisions are read.
            properties: Property id -> whether a subject normally has one value only.
            entities: Only these items; empty means all.
            wiki: The wiki whose events count.
            limit: Most events read.
            until: Stop at the first event of this time or later.
            clock: Tells the present.
        """
        self.name, self.skipped, self.answered = "stream", Counter[str](), 0
        self._events, self._api, self._properties, self._entities = events, api, properties, frozenset(entities)
        self._wiki, self._limit, self._until, self._clock = wiki, limit, until, clock

    def __iter__(self) -> Iterator[FeedItem]:
        """The changes as their events come.

        Raises:
            EndpointError: The stream or the API gives no usable answer; what came before it stands.
        """
        for event in islice(self._events, self._limit):
            if (items := self.items(event)) is None:
                return
            yield from items

    def items(self, event: Event) -> list[FeedItem] | None:
        """What one event says; None where it is of the time at which reading ends, or later.

        Raises:
            EndpointError: The API gives no usable answer.
        """
        if event.problem:
            return [self._malformed(event, f"the event is {event.problem}")]
        change = self._read(event)
        if isinstance(change, MalformedChange):
            return [change]
        if change.meta.domain == "canary":
            self.skipped["canary"] += 1
            return []
        if self._until and change.meta.dt and change.meta.dt >= self._until:
            return None
        if why := self._of_no_interest(change):
            self.skipped[why] += 1
            return []
        return list(self._changes(event, change))

    def _read(self, event: Event) -> _RecentChange | MalformedChange:
        parsed = next(parse_lines(io.BytesIO(event.data.replace("\n", " ").encode())), None)
        if parsed is None or parsed.value is None:
            return self._malformed(event, parsed.problem if parsed else "the event is empty")
        try:
            return _RecentChange.model_validate(parsed.value)
        except ValidationError as error:
            return self._malformed(event, reason(error))

    def _of_no_interest(self, change: _RecentChange) -> str | None:
        if change.wiki != self._wiki:
            return "another wiki"
        if change.namespace != 0 or not is_entity_id(change.title):
            return "no item"
        if change.type not in ("edit", "new"):
            return "no edit"
        if self._entities and change.title not in self._entities:
            return "another item"
        if _NO_STATEMENT.match(change.comment):
            return "no statement"
        link = _ONE_STATEMENT.match(change.comment)
        return "another property" if link and link[2] not in self._properties else None

    def _changes(self, event: Event, change: _RecentChange) -> Iterator[FeedItem]:
        if change.revision is None or change.meta.dt is None:
            yield self._malformed(event, f"the edit of {change.title} names no revision or no time")
            return
        old, new = change.revision.old or None, change.revision.new
        contents = self._api.revisions([new] if old is None else [old, new])
        self.answered += 1
        after, before = contents.get(new), {} if old is None else contents.get(old)
        if after is None or before is None:
            yield self._malformed(
                event, f"revision {new if after is None else old} of {change.title} is hidden or gone"
            )
            return
        if "redirect" in after:
            self.skipped["merged item"] += 1
            return
        for relation, single in self._properties.items():
            try:
                yield from self._differences(event, change, before, after, relation, single)
            except ValueError as error:
                yield self._malformed(event, f"{change.title}, revisions {old} to {new}: {error}")

    def _differences(
        self, event: Event, change: _RecentChange, before: Json, after: Json, relation: str, single: bool
    ) -> list[FeedItem]:
        moment = change.meta.dt or self._clock()
        was = {value.item for value in current(before, relation, single=single, today=moment.date())}
        values = current(after, relation, single=single, today=moment.date())
        gone = was - {value.item for value in values}
        if gone and all(value.item in was for value in values):
            self.skipped["a value taken away, none put in its place"] += 1
        return [
            Change(
                edit=Edit(
                    subject=change.title,
                    relation=relation,
                    target_new=value.item,
                    target_true=min(gone) if len(gone) == 1 else None,
                ),
                provenance=Provenance(
                    feed=self.name,
                    position=event.id[:2000] or f"revision {change.revision.new if change.revision else 0}",
                    seen=self._clock(),
                    dated=moment,
                    evidence=f"revision {change.revision.new if change.revision else 0}, {evidence(value)}",
                ),
            )
            for value in values
            if value.item not in was
        ]

    def _malformed(self, event: Event, why: str) -> MalformedChange:
        return MalformedChange(feed=self.name, position=event.id[:2000] or "an event without id", why=short(why, 300))


def open_stream(what: str, options: FeedOptions) -> StreamFeed:
    """Changes from Wikidata's stream of edits, from `--since` to the present, or for `--limit` events.

    Raises:
        FeedError: Neither says where it ends.
    """
    if options.since is None and options.limit is None:
        raise FeedError("a stream never ends; say since when it is to be read up to now, or give a limit of events")
    settings = FeedSettings()
    return StreamFeed(
        EventSource(settings, since=options.since),
        Api(settings),
        chosen_properties(options.properties),
        entities=[check_entity_id(as_id(id)) for id in options.entities],
        wiki=settings.wiki,
        limit=options.limit,
        until=now() if options.since else None,
    )
