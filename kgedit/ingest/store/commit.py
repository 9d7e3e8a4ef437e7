"""Commits decided batches: delta files first, then the journal, then the weights, then the journal again.

Killed at any point in between, `recover` brings store and model to the same end.
"""

from __future__ import annotations

from kgedit.delta import DeltaStack
from kgedit.errors import FileCorrupt, JournalError
from kgedit.ingest.store.decision import Decision
from kgedit.ingest.store.entry import Move, State
from kgedit.ingest.store.store import IngestStore


def commit(store: IngestStore, weights: DeltaStack, decision: Decision) -> None:
    """Make a decided batch durable and apply its deltas.

    Raises:
        SaveFailed: Disk full or read-only folder; nothing of the batch is in the journal then.
    """
    journal = store.journal
    batch, place = journal.next_numbers()
    moves = [
        Move(entry=refusal.entry.id, state=State.REFUSED, reason=refusal.reason, batch=batch, numbers=refusal.numbers)
        for refusal in decision.refused
    ]
    # 1. Deltas go to disk before the journal names them; one that several changes share is written once.
    saved: set[str] = set()
    for offset, accepted in enumerate(decision.accepted):
        delta, entry = weights.on_base(accepted.delta), accepted.entry
        if delta.id not in saved:
            store.save_delta(delta.noting(change=entry.change.model_dump(mode="json")))
            saved.add(delta.id)
        moves.append(
            Move(
                entry=entry.id,
                state=State.PREPARED,
                reason="; ".join(accepted.warnings),
                batch=batch,
                place=place + offset,
                delta=delta.id,
                numbers=accepted.numbers,
            )
        )
    # 2. From here on the batch is decided: a run that is killed behind this line only finishes it.
    journal.move(sorted(moves, key=lambda move: move.entry))
    finish(store, weights)


def finish(store: IngestStore, weights: DeltaStack) -> int:
    """Apply prepared changes, whose deltas are read back from disk; returns how many there were.

    Changes whose delta does not read back go to "received" again, and are computed again.
    """
    journal = store.journal
    waiting = sorted(journal.entries(State.PREPARED, State.APPLIED), key=lambda entry: entry.place or 0)
    if not waiting:
        return 0
    try:
        fresh = {entry.delta or "": store.delta(entry.delta or "") for entry in waiting}
    except FileCorrupt as error:
        journal.move([Move(entry=entry.id, state=State.RECEIVED, reason=str(error)) for entry in waiting])
        return 0
    # Deltas stay that make at least one change which no waiting change supersedes.
    before = (journal.of_slot(entry.slot, countered=True) for entry in waiting)
    superseded = {old.id for old in before if old is not None}
    kept = [id for id, entries in store.live().items() if any(entry.id not in superseded for entry in entries)]
    loaded = {delta.id: delta for delta in weights.deltas}
    weights.put([*(loaded[id] if id in loaded else store.delta(id) for id in kept), *fresh.values()])
    prepared = [entry for entry in waiting if entry.state == State.PREPARED]
    journal.move([Move(entry=entry.id, state=State.APPLIED, reason=entry.reason) for entry in prepared])
    # The new states and the hash of the weights that they give are noted together.
    moves = [
        Move(entry=id, state=State.SUPERSEDED, reason="a later change of the same fact") for id in sorted(superseded)
    ]
    moves += [Move(entry=entry.id, state=State.CHECKED, reason=entry.reason) for entry in waiting]
    journal.move(moves, about={"weights_hash": weights.hash()})
    return len(waiting)


def apply_live(store: IngestStore, weights: DeltaStack) -> None:
    """Apply the live deltas, and check that they give the weights that the journal noted.

    Raises:
        FileCorrupt: A live delta is damaged.
        JournalError: They give others.
        StoreBusy: A run that writes to the store changed them meanwhile.
    """
    noted = list(store.live()), store.weights_hash
    try:
        weights.put(store.live_deltas())
        computed = weights.hash()
        if computed != store.weights_hash:
            raise JournalError(
                f"the deltas of {store.directory} give weights of hash {computed}, but its journal noted "
                f"{store.weights_hash}: a file was exchanged, or another machine computes differently. "
                "Restore the store from a copy."
            )
    except (FileCorrupt, JournalError) as error:
        if noted == (list(store.live()), store.weights_hash):
            raise
        raise store.changing() from error


def recover(store: IngestStore, weights: DeltaStack) -> int:
    """Bring the model to what the journal says and finish what a killed run had begun; returns how many changes.

    Raises:
        FileCorrupt: A live delta is damaged.
        JournalError: The deltas give other weights than the journal noted.
    """
    apply_live(store, weights)
    finished = finish(store, weights)
    store.remove_unnamed()
    return finished
