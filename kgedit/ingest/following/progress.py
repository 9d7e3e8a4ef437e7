"""How far a store has followed a source, in its journal: written in the transaction that receives what was read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from kgedit.ingest.plan.plan import Plan, Verdict
from kgedit.ingest.store.journal import Journal

_KEPT = 100  # records that could not be used, the last ones


class BadRecord(BaseModel):
    """A record that could not be used.

    Attributes:
        where: Feed and place in it.
        why: What is wrong with it.
    """

    model_config = ConfigDict(frozen=True)

    where: str
    why: str


class FollowState(BaseModel):
    """What was read of a source so far, over all its runs.

    Attributes:
        position: Where it goes on: the id of the last event, or a time before the first; None for a folder.
        batches: Number of batches.
        events: Number of events.
        records: Class of the plan -> number of records.
        bad: The last records that could not be used.
    """

    model_config = ConfigDict(frozen=True)

    position: str | None = None
    batches: int = 0
    events: int = 0
    records: Mapping[str, int] = {}
    bad: tuple[BadRecord, ...] = ()

    def with_plan(self, plan: Plan, position: str | None, events: int) -> FollowState:
        """The state after a batch."""
        unusable = (Verdict.MALFORMED, Verdict.UNRESOLVED, Verdict.CONFLICT)
        bad = deque(self.bad, _KEPT)
        bad.extend(BadRecord(where=one.where[:400], why=one.reason) for each in unusable for one in plan.of(each))
        records = {str(verdict): self.records.get(verdict, 0) + count for verdict, count in plan.counts.items()}
        return FollowState(
            position=position or self.position,
            batches=self.batches + 1,
            events=self.events + events,
            records={verdict: count for verdict, count in records.items() if count},
            bad=tuple(bad),
        )

    def with_problem(self, where: str, why: str) -> FollowState:
        """The state with something that went wrong beside the records; the same again is noted once."""
        if self.bad and self.bad[-1] == BadRecord(where=where, why=why[:300]):
            return self
        return self.model_copy(update={"bad": (*self.bad, BadRecord(where=where, why=why[:300]))[-_KEPT:]})

    @classmethod
    def of(cls, journal: Journal, source: str) -> FollowState:
        """What the journal says about a source."""
        told = journal.about(_key(source))
        return cls.model_validate_json(told) if told else cls()

    def note(self, journal: Journal, source: str) -> None:
        """Note it in the journal; part of a transaction that is open."""
        journal.set_about({_key(source): self.model_dump_json()})


def _key(source: str) -> str:
    return f"followed {source}"
