"""Undoes a change: the weights become those that the remaining changes alone give."""

from __future__ import annotations

from collections.abc import Sequence

from kgedit.delta import Delta, DeltaStack
from kgedit.errors import JournalError
from kgedit.ingest.store.entry import Entry, Move, State
from kgedit.ingest.store.store import IngestStore

_REASON = "undone on request"


def undo_own_delta(store: IngestStore, weights: DeltaStack, id: int) -> None:
    """Undo a change that has a delta of its own, by leaving the delta out.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: It is not applied, or shares its delta with others: see `undo_shared_delta`.
    """
    entry, live = store.journal.entry(id), store.live()
    if entry.state != State.CHECKED:
        raise JournalError(f"change {id} is {entry.state}, not applied; `kgedit journal list` shows those that are")
    if len(live[entry.delta or ""]) > 1:
        raise JournalError(f"change {id} shares the delta {entry.delta} with others")
    _apply_and_note(store, weights, [delta for delta in live if delta != entry.delta], entry)


def undo_shared_delta(
    store: IngestStore, weights: DeltaStack, entry: Entry, others: Sequence[Entry], retrained: Delta
) -> None:
    """Undo a change that shares its delta: a delta of the other changes alone takes its place."""
    delta = weights.on_base(retrained)
    store.save_delta(delta)
    order = [delta.id if id == entry.delta else id for id in store.live()]
    _apply_and_note(store, weights, order, entry, [other.id for other in others], delta.id)


def _apply_and_note(
    store: IngestStore,
    weights: DeltaStack,
    order: Sequence[str],
    undone: Entry,
    others: Sequence[int] = (),
    shared_delta: str = "",
) -> None:
    """Apply the deltas in this order and note it; if the journal cannot be written, the weights are as before."""
    # 1. The weights in memory, from deltas that are loaded or on disk.
    before = weights.deltas
    loaded = {delta.id: delta for delta in before}
    weights.put([loaded[id] if id in loaded else store.delta(id) for id in order])
    # 2. The journal, in one transaction with the hash that it now vouches for.
    try:
        with store.journal.writing():
            if others:
                why = f"its shared delta was computed again without change {undone.id}"
                store.journal.replace_delta(others, shared_delta, why)
            move = Move(entry=undone.id, state=State.UNDONE, reason=_REASON)
            store.journal.move([move], about={"weights_hash": weights.hash()})
    except BaseException:
        weights.put(before)
        raise
    # 3. Files that nothing names any more.
    store.remove_unnamed()
