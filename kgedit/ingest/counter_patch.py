"""Undoes a change that a shared delta goes on making, at once: a patch whose target is the unedited model's answer."""

from __future__ import annotations

from dataclasses import replace

from kgedit.delta import Delta, LowRankDelta
from kgedit.editor import Editor
from kgedit.errors import JournalError
from kgedit.ingest.chosen_method import patching_method
from kgedit.ingest.decide.probes import fact_probes
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.ingest.session import Session
from kgedit.ingest.store.entry import Entry
from kgedit.ingest.store.undo import undo_by_counter_patch, undoable
from kgedit.lm.scoring.right_answers import answers_in_sentences
from kgedit.methods.base import Request
from kgedit.text.answer import leading_name

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
    request = decider.changes.applied(entry).request
    with session.weights.trial(()):
        answer = _answer(session.editor, request, entry)
    remedy = f"`kgedit ingest consolidate --store {store.directory} --without {id}` trains the others without it"
    if not answer:
        raise JournalError(
            f"the unedited model answers nothing to {request.question!r}, which no patch can say; {remedy}"
        )
    # 2. A patch on top of all that stays applied; where it only brings the answer nearer, another on top of both.
    back = replace(request, target=answer)
    change = ResolvedChange(entry, entry.edit, back, None, fact_probes(back, session.editor.text), replaces=entry)
    live = store.live_with_entries()
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
    raise JournalError(f"no counter-patch makes the model answer {answer!r} to {request.question!r} again; {remedy}")


def _answer(editor: Editor, request: Request, entry: Entry) -> str:
    """The name that the model, as it is, answers with."""
    old = entry.edit.target_true or ""
    name = entry.change.labels.get(old, old)
    sentence = editor.complete(request.question, names=(name,) if name else ())
    return sentence if answers_in_sentences(editor.model) else leading_name(sentence, lambda text: text == name)
