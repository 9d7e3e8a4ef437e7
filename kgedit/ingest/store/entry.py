"""Records of the journal: a change, its state and what was measured, and the steps from one state to the next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue

from kgedit.edit import Edit
from kgedit.ingest.change import Provenance, words


class State(StrEnum):
    """Where a change stands; see `kgedit.ingest.store.journal`."""

    RECEIVED = "received"
    PREPARED = "prepared"
    APPLIED = "applied"
    CHECKED = "checked"
    REFUSED = "refused"
    COUNTERED = "countered"
    UNDONE = "undone"
    SUPERSEDED = "superseded"


# A change in one of these states waits or is applied; the same change is not received a second time then.
OPEN = (State.RECEIVED, State.PREPARED, State.APPLIED, State.CHECKED)

# The states that may follow each state.
NEXT: Mapping[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.PREPARED, State.REFUSED}),
    # Back to received: the delta on disk turned out damaged, or the others were consolidated before it was applied, so
    # it is computed again.
    State.PREPARED: frozenset({State.APPLIED, State.REFUSED, State.RECEIVED}),
    State.APPLIED: frozenset({State.CHECKED, State.REFUSED, State.RECEIVED}),
    # Checked or refused again: a consolidation decides about all of them anew.
    State.CHECKED: frozenset({State.CHECKED, State.REFUSED, State.COUNTERED, State.UNDONE, State.SUPERSEDED}),
    State.REFUSED: frozenset({State.CHECKED}),
    # A shared delta still makes it, and a counter-patch on top answers as the unedited model does. Countered
    # again: that delta is gone, but another one makes an older change of the fact.
    State.COUNTERED: frozenset({State.COUNTERED, State.UNDONE, State.SUPERSEDED}),
    State.UNDONE: frozenset(),
    State.SUPERSEDED: frozenset(),
}


class Countered(BaseModel):
    """How a change was undone that shares its delta: the delta stays, and a counter-patch on top of it.

    The change's own fields `delta` and `place` are those of the counter-patch then.

    Attributes:
        delta: Id of the shared delta, which still makes the change.
        place: Its place among the applied deltas.
        answer: What the unedited model answers; the target of the counter-patch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    delta: str
    place: int
    answer: str


class PlannedEdit(BaseModel):
    """A change as the plan hands it to the journal; the journal stores it as JSON.

    Attributes:
        edit: The edit, with ids in place of the names that the graph knows.
        provenance: Feed and position that it came from, where it came from a feed.
        number: Number of its record in the feed, from 1.
        newest: The newest date that any record gave for it, where it is newer than that of its provenance.
        labels: Ids of the edit -> their labels in the graph when it was planned.
        notes: What was taken for what, as the plan said.
        countered: How it was undone, where that was by a counter-patch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    edit: Edit
    provenance: Provenance | None = None
    number: int | None = None
    newest: AwareDatetime | None = None
    labels: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    countered: Countered | None = None

    @property
    def dated(self) -> AwareDatetime | None:
        """The newest date that speaks for it; None if there is none."""
        return self.newest or (self.provenance.dated if self.provenance else None)

    @property
    def where(self) -> str:
        """Feed and position in words; empty where there is none."""
        return self.provenance.where if self.provenance else ""

    @property
    def evidence(self) -> str:
        """What the source gives for it; empty where it gives nothing."""
        return (self.provenance.evidence or "") if self.provenance else ""

    @property
    def words(self) -> tuple[str, str, str]:
        """Subject, relation (or prompt) and new object, ids behind their labels."""
        return words(self.edit, self.labels)


class Received(BaseModel):
    """A change as it is handed to the journal.

    Attributes:
        key: Idempotence key, see `kgedit.ingest.change.change_key`.
        slot: Key of the fact that it changes, see `kgedit.ingest.change.slot_key`.
        change: The change.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    slot: str
    change: PlannedEdit


class Entry(Received):
    """A change as the journal has it.

    Attributes:
        id: Sequence number, from 1, in the order of receipt.
        state: Where it stands.
        batch: Number of the batch that it was decided in.
        place: Its place among the applied deltas; smaller ones are applied first.
        delta: Id of its delta (a SHA-256); several changes of one batch may share one.
        numbers: What was measured when it was decided; a number that is not finite by its name ("inf", "nan").
        reason: Why it was refused or undone, or what the guards warned of; empty otherwise.
    """

    id: int
    state: State
    batch: int | None = None
    place: int | None = None
    delta: str | None = None
    numbers: dict[str, JsonValue] = {}
    reason: str = ""

    @property
    def edit(self) -> Edit:
        """The edit that it asks for."""
        return self.change.edit

    @property
    def undone_to(self) -> str:
        """What the model answers again, as unedited, where a counter-patch undid the change; else empty."""
        return self.change.countered.answer if self.state == State.COUNTERED and self.change.countered else ""

    @property
    def parts(self) -> list[tuple[int, str]]:
        """Place and id of every delta that it keeps applied: its own; with a counter-patch the shared one, too."""
        own = [(self.place or 0, self.delta or "")]
        under = self.change.countered if self.state == State.COUNTERED else None
        return own if under is None else [(under.place, under.delta), *own]


class Step(BaseModel):
    """One step that a change took; nothing is decided by its `time`, which is the clock's."""

    model_config = ConfigDict(frozen=True)

    entry: int
    state: State
    reason: str
    time: str


class Move(BaseModel):
    """A step to take.

    Attributes:
        entry: Id of the entry.
        state: Its new state.
        reason: Why, where the state does not tell.
        batch, place, delta, numbers, change: New values of these fields of the entry; None leaves a field as it is.
    """

    model_config = ConfigDict(frozen=True)

    entry: int
    state: State
    reason: str = ""
    batch: int | None = None
    place: int | None = None
    delta: str | None = None
    numbers: dict[str, float] | None = None
    change: PlannedEdit | None = None
