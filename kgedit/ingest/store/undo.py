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
_GONE = "the delta that made it is no longer applied"
_RETRAINED = "the delta that made it was trained again without it"
_OLDER = "the counter-patch stays, since another delta makes an older change of the fact"


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
    if others_of(store, entry):
        return entry.place or 0, entry.delta or ""
    return older(store, entry, entry.delta)


def older(store: IngestStore, entry: Entry, leaving: str | None) -> tuple[int, str] | None:
    """Place and id of a live delta that makes another change of the same fact when one leaves; None if none does."""
    live = store.live()
    for old in store.journal.all_of_slot(entry.slot):
        # What was countered once may have come again, with a delta of its own.
        for id in (old.change.countered.delta if old.change.countered else None, old.delta):
            if old.id != entry.id and id is not None and id in live and id != leaving:
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
    moves, gone = leaving(store, entry)
    with switched(store, weights, [delta for delta in store.live() if delta not in gone]):
        store.journal.move([Move(entry=id, state=State.UNDONE, reason=_REASON), *moves])


def undo_shared_delta(
    store: IngestStore, weights: DeltaStack, entry: Entry, others: Sequence[Entry], retrained: Delta
) -> None:
    """Undo a change that shares its delta: a delta of the other changes alone takes its place."""
    delta = weights.on_base(retrained)
    store.save_delta(delta)
    # The new delta does not make what was countered in the old one.
    moves, patches = _countered(store, entry, _RETRAINED)
    with switched(store, weights, [delta.id if id == entry.delta else id for id in store.live() if id not in patches]):
        why = f"its shared delta was computed again without change {entry.id}"
        store.journal.replace_delta([other.id for other in others], delta.id, why)
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
    moves, gone = leaving(store, entry)
    with switched(store, weights, [*(id for id in store.live() if id not in gone), delta.id]):
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
                ),
                *moves,
            ]
        )


def leaving(store: IngestStore, entry: Entry) -> tuple[list[Move], set[str | None]]:
    """The deltas that go when a change is undone, where no other in force shares its own, and the steps of others."""
    if others_of(store, entry):
        return [], set()
    moves, patches = _countered(store, entry, _GONE)
    return moves, {entry.delta, *patches}


def _countered(store: IngestStore, entry: Entry, why: str) -> tuple[list[Move], set[str | None]]:
    """The steps of what was countered in the delta of a change when that leaves, and the counter-patches that go too.

    One stays where an older change of its fact is in another live delta, which would speak again.
    """
    moves, patches = list[Move](), set[str | None]()
    for one in store.live()[entry.delta or ""]:
        if one.state == State.COUNTERED and one.change.countered is not None:
            if (below := older(store, one, entry.delta)) is None:
                moves.append(Move(entry=one.id, state=State.UNDONE, reason=why))
                patches.add(one.delta)
            else:
                under = one.change.countered.model_copy(update={"place": below[0], "delta": below[1]})
                change = one.change.model_copy(update={"countered": under})
                moves.append(Move(entry=one.id, state=State.COUNTERED, reason=f"{why}; {_OLDER}", change=change))
    return moves, patches
