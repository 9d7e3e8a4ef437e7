"""What a feed is, and which kinds there are.

A feed never stops at a bad record: it yields `Malformed` in its place. It raises only when nothing more can be
read: no such file, no such column, an endpoint that stays away.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from kgedit.errors import FeedError
from kgedit.ingest.change import Change, Malformed

Item = Change | Malformed


class Feed(Protocol):
    """A lazy source of changes; memory does not grow with their number.

    Attributes:
        name: As in the provenance of its changes.
        skipped: Reason -> number of things passed over because they are no change at all (another wiki's events,
            statements whose value is no item); may be read at any time.
    """

    name: str
    skipped: Counter[str]

    def __iter__(self) -> Iterator[Item]:
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


# Kind -> "module:function" under kgedit.ingest.feeds; the function takes what is named and the options.
FEEDS = {
    "jsonl": "files:open_jsonl",
    "csv": "files:open_csv",
    "difference": "difference:open_difference",
    "wikidata": "wikidata:open_wikidata",
    "stream": "stream:open_stream",
}
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}


def open_feed(what: str, kind: str | None = None, options: FeedOptions | None = None) -> Feed:
    """The feed that a text names.

    Args:
        what: A file; for "wikidata" item ids with commas between them, or a file with one on each line; for
            "stream" anything.
        kind: A name of `FEEDS`; found from the ending of the file if not given.
        options: Whatever else there is to say.

    Raises:
        FeedError: There is no such kind, or the feed cannot be read.
    """
    found = kind or _SUFFIXES.get(Path(what.removesuffix(".gz")).suffix.lower())
    if found not in FEEDS:
        raise FeedError(
            f"{what!r} is no feed of kind {found!r}; give the kind: {', '.join(FEEDS)}"
            if found
            else f"the kind of feed of {what!r} cannot be told from its ending; give it: {', '.join(FEEDS)}"
        )
    module, _, name = FEEDS[found].partition(":")
    opener = getattr(importlib.import_module(f"kgedit.ingest.feeds.{module}"), name)
    return cast(Feed, opener(what, options or FeedOptions()))
