"""The exception tree of kg_cache: each class names the cause and the remedy."""

from __future__ import annotations

from collections.abc import Sequence


class KnowledgeGraphError(Exception):
    """Base of everything that kg_cache raises on purpose."""


class InvalidId(KnowledgeGraphError, ValueError):
    """The text is not an item id (Q42) or property id (P31); pass an id, or resolve a label first."""


class UnknownEntity(KnowledgeGraphError):
    """No item of the graph has this id, label or alias; check the spelling, or fetch the item."""


class UnknownRelation(KnowledgeGraphError):
    """No property of the graph has this id, label or alias; check the spelling, or fetch facts that use it.

    Attributes:
        similar: Names of the graph's properties that may be meant, the nearest first.
    """

    def __init__(self, message: str, similar: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.similar = tuple(similar)


class AmbiguousLabel(KnowledgeGraphError):
    """Several items share the text and nothing ranks them; pass the id of the one that is meant.

    Attributes:
        candidates: Ids of the items or properties that share the text, best linked first.
    """

    def __init__(self, message: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.candidates = list(candidates)


class StoreError(KnowledgeGraphError):
    """A store file cannot be used: it is missing, of another version, or opened read-only."""


class StoreCorrupt(StoreError):
    """The file is damaged or is no store; move it away and fetch, import or rebuild it."""


class StoreLocked(StoreError):
    """Another process is writing to the store; wait for it, or use another file."""


class StoreFull(StoreError):
    """The store cannot grow (disk full, quota, input/output error); free space. Nothing was changed."""


class ImportFailed(KnowledgeGraphError):
    """A file of triples cannot be read or holds no triple; what was imported before that is kept."""


class EndpointError(KnowledgeGraphError):
    """A SPARQL endpoint gave no usable answer; what was fetched before stays in the store."""


class EndpointBusy(EndpointError):
    """The endpoint asks for a longer wait than the retry budget allows; try again later.

    Attributes:
        retry_after: Seconds that the endpoint asks to wait; None when another process holds the endpoint.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EndpointRefused(EndpointError):
    """The endpoint turned the request down, or answered with something that is not SPARQL JSON."""


class EndpointTruncated(EndpointError):
    """The answer was cut off, too large, or took too long to compute; smaller chunks may pass."""


class AnswerTooLarge(EndpointTruncated):
    """The answer is larger than is read; asking again changes nothing."""


class EndpointDown(EndpointError):
    """The endpoint cannot be reached or keeps failing; check the network, or try again later."""


class UnsafeEndpoint(EndpointError):
    """The endpoint led to another host, another scheme or a private address; nothing was sent there."""
