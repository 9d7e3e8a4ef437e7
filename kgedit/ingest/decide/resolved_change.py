"""A change on its way: the journal's entry with names resolved and its questions; and what was decided about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from kgedit.delta import LowRankDelta
from kgedit.edit import Edit
from kgedit.graph.subgraph import Subgraph
from kgedit.ingest.decide.probes import Probes
from kgedit.ingest.store.entry import Entry
from kgedit.methods.base import Request


@dataclass(frozen=True)
class ResolvedChange:
    """A change that is being applied.

    Attributes:
        entry: Its entry in the journal.
        edit: The edit, by ids where the graph knows them.
        request: The edit with names resolved.
        subgraph: What the graph knows around it.
        probes: What is asked about it.
        replaces: The change in force of the same fact, which this one supersedes.
    """

    entry: Entry
    edit: Edit
    request: Request
    subgraph: Subgraph | None
    probes: Probes
    replaces: Entry | None = None

    @property
    def question(self) -> tuple[str, str]:
        """The edit prompt and the new object."""
        return self.probes.efficacy[0]

    @property
    def slot(self) -> tuple[str, str]:
        """Subject and relation."""
        return self.edit.subject, self.edit.relation or ""


@dataclass(frozen=True)
class Accepted:
    """A change that may become durable, with its delta and what was measured; `warnings` in mode "warn" only."""

    item: ResolvedChange
    delta: LowRankDelta
    numbers: dict[str, float]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A change that may not, why, and what was measured."""

    entry: Entry
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass
class Decision:
    """What becomes of each change of a batch."""

    accepted: list[Accepted] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
