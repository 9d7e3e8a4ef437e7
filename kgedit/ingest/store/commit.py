"""From decisions to durable state: delta files first, then the journal, then the weights, then the journal again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kgedit.delta import LowRankDelta
from kgedit.errors import FileCorrupt, JournalError
from kgedit.ingest.decide.resolved_change import Decision
from kgedit.ingest.store.entry import Entry, Move, State
from kgedit.ingest.store.in_force import WeightsInForce
from kgedit.ingest.store.store import IngestStore


def live_with_entries(store: IngestStore) -> list[tuple[LowRankDelta, list[Entry]]]:
    """The deltas in force, each with the changes that it makes."""
    return list(zip(store.live_deltas(), store.live().values(), strict=True))


def commit(store: IngestStore, weights: WeightsInForce, decision: Decision) -> None:
    """Make a decided batch durable and put its deltas in force.

    Killed anywhere in between, `recover` brings it to the same end.

    Raises:
        SaveFailed: Disk full or read-only folder; nothing of the batch is in the journal then.
    """
    journal = store.journal
    batch, place = journal.next_numbers()
    moves = [
        Move(
            entry=one.entry.id, state=State.REFUSED, reason=one.reason, values={"batch": batch, "numbers": one.numbers}
        )
        for one in decision.refused
    ]
    saved: set[str] = set()
    for offset, one in enumerate(decision.accepted):
        delta, entry = weights.on_base(one.delta), one.item.entry
        if delta.id not in saved:
            store.save_delta(replace(delta, manifest={**delta.manifest, "change": entry.change}))
            saved.add(delta.id)
        values = {"batch": batch, "place": place + offset, "delta": delta.id, "numbers": one.numbers}
        moves.append(Move(entry=entry.id, state=State.PREPARED, reason="; ".join(one.warnings), values=values))
    journal.move(sorted(moves, key=lambda move: move.entry))
    finish(store, weights)


def finish(store: IngestStore, weights: WeightsInForce) -> int:
    """Bring prepared changes into force, read back from disk; returns how many there were.

    Changes whose delta does not read back go to "received" again, and are computed anew.
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
    gone = {old.id for entry in waiting if (old := journal.of_slot(entry.slot)) is not None}
    kept = {id: entries for id, entries in store.live().items() if any(entry.id not in gone for entry in entries)}
    have = {delta.id: delta for delta in weights.deltas}
    weights.put([*(have[id] if id in have else store.delta(id) for id in kept), *fresh.values()])
    fresh_ones = [entry for entry in waiting if entry.state == State.PREPARED]
    journal.move([Move(entry=entry.id, state=State.APPLIED, reason=entry.reason) for entry in fresh_ones])
    moves = [Move(entry=id, state=State.SUPERSEDED, reason="a later change of the same fact") for id in sorted(gone)]
    moves += [Move(entry=entry.id, state=State.CHECKED, reason=entry.reason) for entry in waiting]
    journal.move(moves, about={"weights_hash": weights.hash()})
    return len(waiting)


def put_noted(store: IngestStore, weights: WeightsInForce) -> None:
    """Have the live deltas in force, and make sure that they give the weights that the journal noted.

    Raises:
        FileCorrupt: A delta in force is damaged.
        JournalError: They give others.
    """
    weights.put(store.live_deltas())
    found = weights.hash()
    if found != store.weights_hash:
        raise JournalError(
            f"the deltas in force of {store.directory} give weights of hash {found}, but its journal noted "
            f"{store.weights_hash}: a file was exchanged, or another machine computes differently. "
            "Restore the store from a copy."
        )


def recover(store: IngestStore, weights: WeightsInForce) -> int:
    """Bring the model to what the journal says and finish what a killed run had begun; returns how many changes.

    Raises:
        FileCorrupt: A delta in force is damaged.
        JournalError: The weights that the deltas give are not those that the journal noted.
    """
    put_noted(store, weights)
    done = finish(store, weights)
    store.remove_unnamed()
    return done


def undo(store: IngestStore, weights: WeightsInForce, id: int, *, reason: str = "taken back") -> None:
    """Take one change in force back; the others stay, and the weights are those that they alone give.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: It is not in force, or shares its delta with others: see `runner.take_back`.
    """
    entry, live = store.journal.entry(id), store.live()
    if entry.state != State.CHECKED:
        raise JournalError(f"change {id} is {entry.state}, not in force; `kgedit journal list` shows those that are")
    if len(live[entry.delta or ""]) > 1:
        raise JournalError(f"change {id} shares the delta {entry.delta} with others")
    _put_and_note(store, weights, [other for other in live if other != entry.delta], entry, reason)


def replace_shared(
    store: IngestStore, weights: WeightsInForce, gone: Entry, others: Sequence[Entry], delta: LowRankDelta
) -> None:
    """Take a change back whose delta others share: the same place then holds a delta of the others alone."""
    fresh = weights.on_base(delta)
    store.save_delta(fresh)
    order = [fresh.id if id == gone.delta else id for id in store.live()]
    _put_and_note(store, weights, order, gone, "taken back", [entry.id for entry in others], fresh.id)


def _put_and_note(
    store: IngestStore,
    weights: WeightsInForce,
    order: Sequence[str],
    gone: Entry,
    reason: str,
    others: Sequence[int] = (),
    delta: str = "",
) -> None:
    before = weights.deltas
    have = {one.id: one for one in before}
    weights.put([have[id] if id in have else store.delta(id) for id in order])
    try:
        with store.journal.writing():
            if others:
                store.journal.replace_delta(others, delta)
            undone = Move(entry=gone.id, state=State.UNDONE, reason=reason)
            store.journal.move([undone], about={"weights_hash": weights.hash()})
    except BaseException:
        weights.put(before)
        raise
    store.remove_unnamed()
