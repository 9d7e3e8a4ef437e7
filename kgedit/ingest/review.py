"""Review by a person: a feed's changes are received and wait; then each is accepted, under the guards, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from kg_cache.graph import KnowledgeGraph
from kgedit.errors import JournalError
from kgedit.ingest.decide.guard import Mode
from kgedit.ingest.feeds.base import FeedOptions, open_feed
from kgedit.ingest.intake import plan_in, take_in
from kgedit.ingest.plan.plan import Plan
from kgedit.ingest.session import open_session
from kgedit.ingest.store.entry import Entry, Move, Received, State
from kgedit.ingest.store.journal import Journal
from kgedit.ingest.store.store import open_store
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.find import MomentSource
from kgedit.progress import Progress


def receive(
    directory: str | Path,
    feed: str | Path,
    *,
    model: str = "mini",
    method: str | None = None,
    graph: KnowledgeGraph | str | Path | None = None,
    moments: MomentSource = "auto",
    progress: Progress | None = None,
    **loading: Unpack[Loading],
) -> Plan:
    """Plan a file of changes and receive the new ones into a store, where they wait; nothing is applied.

    A later `run` over any feed decides all that still waits.

    Args:
        directory: Folder of the store; made if it is not there.
        feed: A file of changes.
        model: See `open_session`.
        method: See `open_session`.
        graph: See `open_session`.
        moments: See `open_session`.
        progress: Called with (what, done, total).
        **loading: See `open_session`.

    Returns:
        The plan: its new records wait now, and the others say why they do not.

    Raises:
        FeedError: The file as a whole cannot be read.
        KgeditError: See `open_session`.
    """
    source = open_feed(str(feed), None, FeedOptions())
    with open_session(
        directory, model=model, method=method, graph=graph, moments=moments, progress=progress, **loading
    ) as session:
        plan = plan_in(session, source)
        take_in(session.store.journal, plan, None, {})
    return plan


def accept(
    directory: str | Path,
    ids: Sequence[int],
    *,
    method: str | None = None,
    guard: Mode = "refuse",
    moments: MomentSource = "auto",
    settings: dict[str, dict[str, Any]] | None = None,
    progress: Progress | None = None,
    **loading: Unpack[Loading],
) -> list[Entry]:
    """Decide some changes now, under the guards: each is applied, or refused with the measured numbers.

    Args:
        directory: Folder of the store.
        ids: Numbers of changes that wait. One that was refused or undone is received anew, under a new number.
        method: Computes the changes; see `open_session`.
        guard: "warn" applies also what the guards speak against, with a warning.
        moments: See `open_session`.
        settings: See `open_session`.
        progress: Called with (what, done, total).
        **loading: See `open_session`.

    Returns:
        The changes as they stand now.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: One is neither waiting nor refused nor undone.
        KgeditError: See `open_session`.
    """
    with open_store(directory) as store:
        model, graph = store.model, store.graph
    with open_session(
        directory, model=model, method=method, graph=graph, guard=guard, moments=moments, settings=settings,
        progress=progress, **loading,
    ) as session:  # fmt: skip
        journal = session.store.journal
        with journal.writing():  # all of them or none
            chosen = [_waiting(journal, id) for id in dict.fromkeys(ids)]
        left = chosen
        while left:
            # Changes of one fact are decided one after another.
            batch = sorted({entry.slot: entry for entry in reversed(left)}.values(), key=lambda entry: entry.id)
            session.decide(batch)
            decided = {entry.id for entry in batch}
            left = [entry for entry in left if entry.id not in decided]
        return [journal.entry(entry.id) for entry in chosen]


def refuse(directory: str | Path, ids: Sequence[int], reason: str) -> None:
    """Refuse changes that wait, all of them or none.

    Args:
        directory: Folder of the store.
        ids: Their numbers.
        reason: Why, for the journal.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: One does not wait.
    """
    why = " ".join(reason.split()) or "refused in review"
    with open_store(directory, write=True, create=False) as store:
        for id in ids:
            if (state := store.journal.entry(id).state) != State.RECEIVED:
                raise JournalError(f"change {id} is {state} and does not wait; only what waits can be refused")
        store.journal.move([Move(entry=id, state=State.REFUSED, reason=why) for id in dict.fromkeys(ids)])


def _waiting(journal: Journal, id: int) -> Entry:
    """The change if it waits; one that was refused or undone is received anew."""
    entry = journal.entry(id)
    if entry.state in (State.REFUSED, State.UNDONE):
        change = entry.change.model_copy(update={"countered": None})  # it was, under the old number
        journal.receive([Received(key=entry.key, slot=entry.slot, change=change)])
        entry = journal.find(entry.key) or entry
    if entry.state != State.RECEIVED:
        raise JournalError(f"change {id} is {entry.state}; only what waits, was refused or undone can be accepted")
    return entry
