"""Makes a consolidation durable: one delta of all changes that it holds, and patches on top, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from kgedit.delta import Delta, DeltaStack
from kgedit.ingest.store.decision import Decision
from kgedit.ingest.store.entry import Entry, Move, State
from kgedit.ingest.store.store import IngestStore
from kgedit.ingest.store.switch import switched

CONSOLIDATED = "consolidated"
"""In the manifest of a consolidated delta: the numbers of its changes."""


def switch_to(
    store: IngestStore, weights: DeltaStack, trained: Decision, patches: Decision, without: Sequence[Entry] = ()
) -> None:
    """Replace all live deltas by one trained delta and the patches on top of it.

    Args:
        store: The store, open for writing.
        weights: The model's weights with the live deltas applied.
        trained: The changes that share the trained delta. What it refuses is decided in `patches`.
        patches: The changes that have a patch of their own on top of it, and those that are refused.
        without: Changes that are undone by it.

    Raises:
        SaveFailed: Disk full or read-only folder; weights and journal are as before.
    """
    journal = store.journal
    batch, place = journal.next_numbers()
    held = [one.entry.id for one in trained.accepted]
    # 1. The deltas go to disk; until the journal names them, nothing does.
    saved: dict[str, Delta] = {}
    moves = []
    for offset, accepted in enumerate((*trained.accepted, *patches.accepted)):
        delta, together = weights.on_base(accepted.delta), offset < len(held)
        if delta.id not in saved:
            saved[delta.id] = delta.noting(
                **{CONSOLIDATED: held} if together else {"change": accepted.entry.change.model_dump(mode="json")}
            )
            store.save_delta(saved[delta.id])
        how = f"trained into one delta with {len(held) - 1} others" if together else "a patch on top of the others"
        moves.append(
            Move(
                entry=accepted.entry.id,
                state=State.CHECKED,
                reason="; ".join([f"consolidated: {how}", *accepted.warnings]),
                batch=batch,
                place=place + offset,
                delta=delta.id,
                numbers=accepted.numbers,
            )
        )
    # 2. What is no longer in force. What was refused before and is so again stays as it was.
    moves += [
        Move(entry=one.entry.id, state=State.REFUSED, reason=one.reason, batch=batch, numbers=one.numbers)
        for one in patches.refused
        if one.entry.state == State.CHECKED
    ]
    moves += [
        Move(entry=entry.id, state=State.UNDONE, reason="consolidated: the others were trained without it")
        for entry in (*journal.entries(State.COUNTERED), *without)
    ]
    # A killed run had decided these beside the deltas that go now; they wait again.
    moves += [
        Move(entry=entry.id, state=State.RECEIVED, reason="the deltas it was decided beside were consolidated")
        for entry in journal.entries(State.PREPARED, State.APPLIED)
    ]
    # 3. The switch.
    with switched(store, weights, list(saved)):
        journal.move(sorted(moves, key=lambda move: move.entry))
