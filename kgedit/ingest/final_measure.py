"""Measures the edited model at the end of a run: applied changes, and facts that no part of ingestion looked at."""

from __future__ import annotations

from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.session import Session
from kgedit.ingest.store.entry import State
from kgedit.ingest.store.run_record import RefusedChange, RunResult
from kgedit.lm.device import repeatable

UNRELATED = 400  # facts


def final_measure(session: Session, feed: str, counts: dict[str, int]) -> RunResult:
    """Ask every applied change and 400 unrelated facts on the edited weights.

    Args:
        session: The open store.
        feed: Name of the feed, for the result.
        counts: Class of the plan -> number of records, for the result.
    """
    editor, journal, decider = session.editor, session.store.journal, session.decider
    applied = journal.in_force()
    right = ask_all(editor.model, editor.tokenizer, [decider.changes.applied(entry).question for entry in applied])
    in_chat = [decider.changes.applied(entry).in_chat(editor.chat) for entry in applied] if editor.chat else []
    # Unrelated facts: recalled by the unedited model, and about no subject or object of any change.
    touched = {item for entry in journal.entries() for item in (entry.edit.subject, entry.edit.target_new)}
    with session.weights.trial([]):
        facts = session.pool.recalled(
            editor.model, editor.tokenizer, UNRELATED, seed=0, part="measured", without=touched
        )
    recalled = session.pool.ask_again(editor.model, editor.tokenizer, facts)
    refusals = [RefusedChange.of(entry, entry.reason, entry.numbers) for entry in journal.entries(State.REFUSED)]
    states = journal.counts()
    return RunResult(
        feed=feed,
        method=decider.writer.name,
        records=sum(counts.values()),
        classes=counts,
        accepted=len(applied),
        refused=states[State.REFUSED],
        superseded=states[State.SUPERSEDED],
        accepted_right=_share(right),
        accepted_right_in_chat=_share(ask_all(editor.model, editor.tokenizer, in_chat)) if editor.chat else None,
        unrelated_recalled=_share(recalled),
        unrelated_asked=len(facts),
        notes=(*session.notes, *editor.moments.notes, *editor.moments.origins),
        watched=len(decider.guard.facts),
        refusals=tuple(refusals),
        weights_hash=session.store.weights_hash,
        repeatable=repeatable(editor.model.device),
    )


def _share(answers: list[bool]) -> float:
    return round(sum(answers) / len(answers), 4) if answers else 1.0
