"""The decision about a batch of changes, as it is handed to the store to be made durable."""

from __future__ import annotations

from dataclasses import dataclass, field

from kgedit.delta import Delta
from kgedit.ingest.store.entry import Entry


@dataclass(frozen=True)
class Accepted:
    """A change that may become durable.

    Attributes:
        entry: The change.
        delta: Its delta; the changes of a batch may share one.
        numbers: What was measured.
        warnings: What the guards said against it, where they only warn.
    """

    entry: Entry
    delta: Delta
    numbers: dict[str, float]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A change that may not become durable, with the reason and what was measured until then."""

    entry: Entry
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """The changes of a batch, each accepted or refused; deltas are applied in the order of `accepted`."""

    accepted: tuple[Accepted, ...] = ()
    refused: tuple[Refusal, ...] = ()
