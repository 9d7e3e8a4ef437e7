"""Undoes a change that a shared delta goes on making, at once: a patch whose target is the unedited model's answer."""

from __future__ import annotations

from dataclasses import replace

from kgedit.delta import Delta, LowRankDelta
from kgedit.errors import JournalError
from kgedit.ingest.chosen_method import patching_method
from kgedit.ingest.session import Session
from kgedit.ingest.store.undo import leaving, undo_by_counter_patch, undoable

_PATCHES = 3  # at most, one on top of the other, for one change


def counter(session: Session, id: int) -> str:
    """Undo one change of an open store by a counter-patch; the next consolidation trains without the change.

    Returns:
        What the model answers again, as unedited.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: It is not applied, or no patch brings the unedited model's answer back.
    """
    store, entry = session.store, undoable(session.store, id)
    shared = session.decider.writer.shared
    decider = session.decider_by(patching_method(store.model, store.journal)) if shared else session.decider
    # 1. What the unedited model answers is the target.
    made = decider.changes.applied(entry)
    question = made.request.question
    with session.weights.trial(()):
        back = decider.changes.given_back(made)
    remedy = f"`kgedit ingest consolidate --store {store.directory} --without {id}` trains the others without it"
    if back is None:
        raise JournalError(f"the unedited model answers nothing to {question!r}, which no patch can say; {remedy}")
    answer = back.request.target
    # 2. A patch on top of all that stays applied; where it only brings the answer nearer, another on top of both.
    change = replace(back, replaces=entry)
    _, gone = leaving(store, entry)
    live = [(delta, entries) for delta, entries in store.live_with_entries() if delta.id not in gone]
    patches: list[Delta] = []
    for _ in range(_PATCHES):
        accepted = next(iter(decider.patch(change, live).accepted), None)
        if accepted is None:
            break
        patches.append(accepted.delta)
        # 3. They must answer as the unedited model does; what else the guards say of them is noted.
        if accepted.numbers.get("efficacy") == 1.0:
            patch = session.weights.joined(patches) if len(patches) > 1 else accepted.delta
            undo_by_counter_patch(store, session.weights, entry, patch, answer, accepted.numbers)
            return answer
        below, entries = live[-1]
        if not all(isinstance(delta, LowRankDelta) for delta in (below, accepted.delta)):
            break
        live = [*live[:-1], (session.weights.joined([below, accepted.delta]), entries)]
    raise JournalError(f"no counter-patch makes the model answer {answer!r} to {question!r} again; {remedy}")
