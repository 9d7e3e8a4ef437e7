"""Undoes a change: the weights become those that the remaining changes alone give.

Where a consolidated delta makes it, that stays until the next consolidation, and a counter-patch on top of it answers
as the unedited model does.
"""

from __future__ import annotations

from collections.abc import Sequence

from kgedit.delta import Delta, DeltaStack
from kgedit.errors import JournalError
from kgedit.ingest.store.entry import Countered, Entry, Move, State
from kgedit.ingest.store.store import IngestStore
from kgedit.ingest.store.switch import switched

_REASON = "undone on request"
_RETRAINED = "the delta that made it was trained again without it"


def undoable(store: IngestStore, id: int) -> Entry:
    """The change, if it can be undone.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: It is not applied.
    """
    entry = store.journal.entry(id)
    if entry.state == State.COUNTERED:
        raise JournalError(f"change {id} is undone already, by a counter-patch")
    if entry.state != State.CHECKED:
        raise JournalError(f"change {id} is {entry.state}, not applied; `kgedit journal list` shows those that are")
    return entry


def others_of(store: IngestStore, entry: Entry) -> list[Entry]:
    """The other changes in force that share the delta of one."""
    return [one for one in store.live()[entry.delta or ""] if one.id != entry.id and one.state == State.CHECKED]


def carrier(store: IngestStore, entry: Entry) -> tuple[int, str] | None:
    """Place and id of the live delta that makes a change of this fact when this one is taken out; None if none does.

    That is the delta which it shares with others, or one which shares out what it superseded.
    """
    live = store.live()
    if others_of(store, entry):
        return entry.place or 0, entry.delta or ""
    for old in store.journal.all_of_slot(entry.slot):
        under = old.change.countered
        id = under.delta if under else old.delta
        if old.id != entry.id and id in live and id != entry.delta:
            return min(place for one in live[id] for place, named in one.parts if named == id), id
    return None


def undo_own_delta(store: IngestStore, weights: DeltaStack, id: int) -> None:
    """Undo a change that has a delta of its own, by leaving the delta out.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: It is not applied, or shares its delta with others: see `undo_shared_delta`.
    """
    entry = undoable(store, id)
    if others_of(store, entry):
        raise JournalError(f"change {id} shares the delta {entry.delta} with others")
    # What was countered in the same delta goes with it, and so do the counter-patches.
    countered = [one for one in store.live()[entry.delta or ""] if one.id != id]
    gone = {entry.delta, *(one.delta for one in countered)}
    with switched(store, weights, [delta for delta in store.live() if delta not in gone]):
        why = "the delta that made it is no longer applied"
        moves = [Move(entry=one.id, state=State.UNDONE, reason=why) for one in countered]
        store.journal.move([Move(entry=id, state=State.UNDONE, reason=_REASON), *moves])


def undo_shared_delta(
    store: IngestStore, weights: DeltaStack, entry: Entry, others: Sequence[Entry], retrained: Delta
) -> None:
    """Undo a change that shares its delta: a delta of the other changes alone takes its place."""
    delta = weights.on_base(retrained)
    store.save_delta(delta)
    live = store.live()
    # The new delta does not make what was countered in the old one, so the counter-patches go.
    countered = [one for one in live[entry.delta or ""] if one.state == State.COUNTERED]
    gone = {one.delta for one in countered}
    with switched(store, weights, [delta.id if id == entry.delta else id for id in live if id not in gone]):
        why = f"its shared delta was computed again without change {entry.id}"
        store.journal.replace_delta([other.id for other in others], delta.id, why)
        moves = [Move(entry=one.id, state=State.UNDONE, reason=_RETRAINED) for one in countered]
        store.journal.move([Move(entry=entry.id, state=State.UNDONE, reason=_REASON), *moves])


def undo_by_counter_patch(
    store: IngestStore, weights: DeltaStack, entry: Entry, patch: Delta, answer: str, numbers: dict[str, float]
) -> None:
    """Undo a change that another live delta goes on making: a counter-patch is applied on top of all others.

    Args:
        store: The store, open for writing.
        weights: The model's weights with the live deltas applied.
        entry: The change.
        patch: The counter-patch.
        answer: What the unedited model answers, and the model with the counter-patch.
        numbers: What was measured of it.

    Raises:
        ValueError: No live delta makes the change.
    """
    carried = carrier(store, entry)
    if carried is None:
        raise ValueError(f"no live delta makes change {entry.id}, so there is nothing to counter")
    delta = weights.on_base(patch).noting(counters=entry.id, answer=answer)
    store.save_delta(delta)
    _, last = store.journal.next_numbers()
    own = entry.delta if not others_of(store, entry) else None
    with switched(store, weights, [*(id for id in store.live() if id != own), delta.id]):
        countered = Countered(delta=carried[1], place=carried[0], answer=answer)
        store.journal.move(
            [
                Move(
                    entry=entry.id,
                    state=State.COUNTERED,
                    reason=f"{_REASON}, by a counter-patch: the model answers {answer!r} again, as unedited; "
                    "the next consolidation trains without the change",
                    place=last,
                    delta=delta.id,
                    numbers=numbers,
                    change=entry.change.model_copy(update={"countered": countered}),
                )
            ]
        )
