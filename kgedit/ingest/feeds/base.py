"""Feeds of changes, and the table of their kinds, to which plugins add.

A feed never stops at a bad record: it yields `MalformedChange` in its place. It raises only when nothing more can be
read: no such file, no such column, an endpoint that stays away.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Protocol, cast

from kg_cache.ids import as_id, is_entity_id
from kg_cache.nearest import did_you_mean, nearest
from kg_cache.packed import plain_name
from kgedit.errors import FeedError
from kgedit.ingest.change import Change, MalformedChange
from kgedit.ingest.feeds import standard_input
from kgedit.io.plugins import load_plugin, plugins

FeedItem = Change | MalformedChange


class Feed(Protocol):
    """A lazy source of changes; memory does not grow with their number.

    Attributes:
        name: As in the provenance of its changes.
        skipped: Reason -> number of things passed over because they are no change at all (another wiki's events,
            statements whose value is no item); may be read at any time.
    """

    name: str
    skipped: Counter[str]

    def __iter__(self) -> Iterator[FeedItem]:
        """The changes, in the order in which they came."""
        ...


@dataclass(frozen=True)
class FeedOptions:
    """What may be said of a feed; each kind uses what concerns it.

    Attributes:
        columns: Column or key of a file -> field of a change.
        before: The older graph of a difference.
        properties: Only these properties; empty means those that can be put into words.
        entities: Only these items.
        since: Where a stream starts: a time, or the event id of a change's position.
        limit: Most events read of a stream.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    before: Path | None = None
    properties: Sequence[str] = ()
    entities: Sequence[str] = ()
    since: str | None = None
    limit: int | None = None


OpenFeed = Callable[[str, FeedOptions], Feed]
"""Opens a feed of one kind: takes what the user named and the options. Raises FeedError when it cannot be read."""

GROUP = "kgedit.feeds"
"""Entry-point group in which other distributions declare kinds: name = "module:function", an `OpenFeed`."""

# Built-in kind -> its `OpenFeed` as "module:function".
FEEDS = {
    "jsonl": "kgedit.ingest.feeds.files:open_jsonl",
    "csv": "kgedit.ingest.feeds.files:open_csv",
    "json": "kgedit.ingest.feeds.files:open_json",
    "difference": "kgedit.ingest.feeds.difference:open_difference",
    "wikidata": "kgedit.ingest.feeds.wikidata:open_wikidata",
    "stream": "kgedit.ingest.feeds.stream:open_stream",
}
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv"}


def feed_kinds() -> dict[str, EntryPoint]:
    """Kind -> where its `OpenFeed` lies: the built-in ones, then those of plugins.

    Raises:
        PluginError: A plugin takes a name that is given already.
    """
    built_in = {kind: EntryPoint(kind, place, GROUP) for kind, place in FEEDS.items()}
    return {**built_in, **plugins(GROUP, FEEDS)}


def is_there(what: str | Path) -> bool:
    """Whether a file or folder has this name; a list of item ids may be longer than any name."""
    try:
        return Path(what).exists()
    except OSError:
        return False


def _named(what: str) -> str | None:
    """The kind of a feed that is no file: the word "stream", or item ids."""
    if is_there(what):
        return None
    if what == "stream":
        return "stream"
    ids = what.split(",")
    return "wikidata" if all(is_entity_id(as_id(part)) for part in ids) else None


def open_feed(what: str, kind: str | None = None, options: FeedOptions | None = None) -> Feed:
    """The feed that a text names.

    Args:
        what: A file, or "-" for standard input; for "wikidata" item ids with commas between them, or a file with one
            on each line; for "stream" anything.
        kind: A name of `feed_kinds`; found from the ending of the file, or what standard input begins with, if not
            given.
        options: Whatever else there is to say.

    Raises:
        FeedError: There is no such kind, or the feed cannot be read.
        PluginError: The kind is that of a plugin which cannot be loaded.
    """
    kinds = feed_kinds()
    if what == "-":
        path, folder = standard_input.keep()
        feed = open_feed(str(path), kind or standard_input.kind_of(path), options)
        if feed.name == path.name:
            feed.name = standard_input.NAME
        weakref.finalize(feed, folder.cleanup)  # the file stays as long as the feed
        return feed
    chosen = kind or _named(what) or _SUFFIXES.get(Path(plain_name(what)).suffix.lower())
    if chosen not in kinds:
        near = did_you_mean(nearest(chosen or "", kinds))
        raise FeedError(
            f"{what!r} is no feed of kind {chosen!r}; {near}there are: {', '.join(kinds)}"
            if chosen
            else f"the kind of feed of {what!r} cannot be told from its ending; give it: {', '.join(kinds)}"
        )
    place = kinds[chosen]
    opener = cast(OpenFeed, place.load() if chosen in FEEDS else load_plugin(place))
    return opener(what, options or FeedOptions())
