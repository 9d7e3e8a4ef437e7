"""What a store can follow, in small batches: Wikidata's stream of edits, or a folder of feed files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from kg_cache.errors import EndpointError, EndpointRefused, EndpointTruncated
from kg_cache.text import storable
from kgedit.errors import FeedAway, FeedError
from kgedit.ingest.change import MalformedChange
from kgedit.ingest.feeds.base import FeedItem, FeedOptions, open_feed
from kgedit.ingest.feeds.events import EventSource
from kgedit.ingest.feeds.stream import StreamFeed
from kgedit.ingest.plan.policy import Policy
from kgedit.ingest.runner import planned_file

_REFUSED = 10  # events in a row that the API refuses to speak about: it is not the events' fault
_UNFINISHED = (".part", ".tmp", ".partial")


@dataclass(frozen=True)
class FollowedBatch:
    """Changes that are planned together.

    Attributes:
        changes: The records; read once.
        fingerprint: Of the file that they are from; None for events.
        position: Where the source goes on after them; None for a file, which its fingerprint tells.
        events: Number of events that were read for it.
    """

    changes: Iterator[FeedItem]
    fingerprint: str | None = None
    position: str | None = None
    events: int = 0


class Followed(Protocol):
    """A source that is followed.

    Attributes:
        name: Tells it from other sources of the same store.
    """

    name: str

    def batches(self, position: str | None, done: Callable[[str], bool]) -> Iterator[FollowedBatch]:
        """What there is now; a source that has no end goes on.

        Args:
            position: Where it was the last time; None where it never was.
            done: Whether a file was planned before, by its fingerprint.

        Raises:
            EndpointError: The source gives no answer; what came before stands.
        """
        ...


class FollowedStream:
    """Wikidata's stream of edits.

    Args:
        events: Makes the stream of events that begins at a position, or where it begins at all if there is none.
        opened: Makes a feed of a stream of events.
        size: Changes in a batch.
        seconds: The longest that changes wait for others.
        until: When reading ends; None where it has no end.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        events: Callable[[str | None], EventSource],
        opened: Callable[[EventSource], StreamFeed],
        *,
        size: int,
        seconds: float,
        until: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = "stream"
        self._events, self._opened, self._size, self._seconds, self._clock = events, opened, size, seconds, clock
        self._until = until

    def batches(self, position: str | None, done: Callable[[str], bool]) -> Iterator[FollowedBatch]:
        """See `Followed.batches`."""
        source = self._events(position)
        feed, began = self._opened(source), self._clock()
        found: list[FeedItem] = []
        events = refused = answered = 0
        sure = (0, position, 0)  # items, position and events before the first of those that are refused in a row
        try:
            for event in source:
                # An event counts as read once all that it says is known, so that a position never skips a part of one.
                try:
                    items = feed.items(event)
                except (EndpointRefused, EndpointTruncated) as error:
                    refused += 1
                    if refused >= _REFUSED:
                        raise
                    where = event.id[:2000] or "an event without id"
                    items = [MalformedChange(feed=self.name, position=where, why=str(error)[:300])]
                if items is None:
                    break
                found += items
                position, events = event.id or position, events + 1
                if feed.answered > answered or not refused:
                    refused, answered, sure = 0, feed.answered, (len(found), position, events)
                if not refused and (len(found) >= self._size or self._clock() - began >= self._seconds):
                    yield FollowedBatch(iter(found), position=position, events=events)
                    found, events, began = [], 0, self._clock()
                    sure = (0, position, 0)
        except EndpointError:
            items_before, position, events = sure
            if events:
                yield FollowedBatch(iter(found[:items_before]), position=position, events=events)
            raise
        if position is None and self._until:  # nothing had come before the end: the next reading begins there
            yield FollowedBatch(iter(found), position=self._until.isoformat(), events=events)
        elif events:
            yield FollowedBatch(iter(found), position=position, events=events)


class FollowedFolder:
    """A folder of feed files, in the order of their names; hidden and unfinished ones (.part, .tmp) do not count.

    Args:
        folder: The folder.
        options: Options of the feeds.
        policy: Decides the plan, as `make_plan` does, and so belongs to what a file is known by.
        any_subject: Likewise.

    Raises:
        FeedError: There is no such folder.
    """

    def __init__(self, folder: Path, options: FeedOptions, *, policy: Policy, any_subject: bool) -> None:
        if not folder.is_dir():
            raise FeedError(f"{str(folder)!r} is no folder; give one with feed files, or the word stream")
        self.name = storable(f"folder {folder.resolve()}")
        self._folder, self._options, self._policy, self._any_subject = folder, options, policy, any_subject
        self._looked: dict[str, tuple[int, int]] = {}  # name -> size and time, so that files are hashed once

    def batches(self, position: str | None, done: Callable[[str], bool]) -> Iterator[FollowedBatch]:
        """See `Followed.batches`."""
        try:
            paths = sorted(self._folder.iterdir())
        except OSError as error:
            raise FeedAway(f"{str(self._folder)!r} cannot be read ({error.strerror or error}); check it") from error
        for path in paths:
            if not path.is_file() or path.name.startswith(".") or path.suffix in _UNFINISHED:
                continue
            state = (path.stat().st_size, path.stat().st_mtime_ns)
            if self._looked.get(path.name) == state:
                continue
            name, kind, records = self._opened(path)
            try:
                of_file = planned_file(
                    path, name, self._options, kind=kind, policy=self._policy, check_kinds=True,
                    any_subject=self._any_subject,
                )  # fmt: skip
                if not done(of_file):
                    yield FollowedBatch(records, of_file)
            except OSError as error:
                yield FollowedBatch(iter([_unreadable(path.name, error)]))
            self._looked[path.name] = state

    def _opened(self, path: Path) -> tuple[str, str | None, Iterator[FeedItem]]:
        """Name and records of a file; one that is no feed is of a kind of its own, so that it is told once."""
        try:
            feed = open_feed(str(path), None, self._options)
        except (FeedError, OSError) as error:
            return storable(path.name), "unreadable", iter([_unreadable(path.name, error)])
        return feed.name, None, _read(iter(feed), path.name)


def _read(records: Iterator[FeedItem], name: str) -> Iterator[FeedItem]:
    """The records of a file, and in the place of what cannot be read any more, why."""
    try:
        yield from records
    except FeedError as error:
        yield _unreadable(name, error)


def _unreadable(name: str, error: Exception) -> MalformedChange:
    return MalformedChange(feed=storable(name), position="the whole file", why=storable(str(error))[:300])
