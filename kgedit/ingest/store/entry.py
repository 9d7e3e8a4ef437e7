"""What the journal holds of one change: its state, its delta, its numbers, and the steps that it took."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue


class State(StrEnum):
    """Where a change stands; see `kgedit.ingest.store.journal`."""

    RECEIVED = "received"
    PREPARED = "prepared"
    APPLIED = "applied"
    CHECKED = "checked"
    REFUSED = "refused"
    UNDONE = "undone"
    SUPERSEDED = "superseded"


# What may follow each state.
NEXT: Mapping[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.PREPARED, State.REFUSED}),
    # Back to received: the delta on disk turned out damaged, so it is computed anew.
    State.PREPARED: frozenset({State.APPLIED, State.REFUSED, State.RECEIVED}),
    State.APPLIED: frozenset({State.CHECKED, State.REFUSED, State.RECEIVED}),
    State.CHECKED: frozenset({State.UNDONE, State.SUPERSEDED}),
    State.REFUSED: frozenset(),
    State.UNDONE: frozenset(),
    State.SUPERSEDED: frozenset(),
}


class Received(BaseModel):
    """A change as it is handed to the journal.

    Attributes:
        key: Idempotence key.
        slot: What it has in common with other changes of the same fact.
        change: The change, as plain JSON.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    slot: str
    change: dict[str, JsonValue]


class Entry(Received):
    """A change as the journal has it.

    Attributes:
        id: Sequence number, from 1, in the order of receipt.
        state: Where it stands.
        batch: Number of the batch that it was written in.
        place: Its place among the deltas in force; smaller ones are applied first.
        delta: Id of its delta (a SHA-256); several changes of one batch may share one.
        numbers: What was measured.
        reason: Why it was refused or undone; empty otherwise.
    """

    id: int
    state: State
    batch: int | None = None
    place: int | None = None
    delta: str | None = None
    numbers: dict[str, JsonValue] = {}
    reason: str = ""


class Step(BaseModel):
    """One step of one change; `time` is what the clock said, and decides nothing."""

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
        reason: Why, where that is not plain.
        values: Columns that change with it: batch, place, delta, numbers.
    """

    model_config = ConfigDict(frozen=True)

    entry: int
    state: State
    reason: str = ""
    values: dict[str, Any] = {}
