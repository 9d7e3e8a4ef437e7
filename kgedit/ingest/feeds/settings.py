"""The addresses that feeds read from; like all settings, an argument or an environment variable KGEDIT_<NAME>."""

from __future__ import annotations

from pydantic import field_validator

from kg_cache.settings import Settings


class FeedSettings(Settings):
    """Settings of the graph, and where Wikidata's entities and change events are read.

    Attributes:
        api: Address of the MediaWiki action API.
        stream: Address of the stream of recent changes (server-sent events).
        wiki: Name of the wiki whose events count.
    """

    api: str = "https://www.wikidata.org/w/api.php"
    stream: str = "https://stream.wikimedia.org/v2/stream/mediawiki.recentchange"
    wiki: str = "wikidatawiki"

    @field_validator("api", "stream")
    @classmethod
    def _safe_address(cls, value: str) -> str:
        Settings(endpoint=value)  # the same rules
        return value
