"""Maintains a store between runs: undoes a change, verifies files and weights, asks the applied changes again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from pydantic import BaseModel, ConfigDict

from kgedit.errors import JournalError
from kgedit.ingest.chosen_method import patching_method
from kgedit.ingest.counter_patch import counter
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.plan.plan import Plan
from kgedit.ingest.session import Session, open_edited, open_session
from kgedit.ingest.store.consolidate import CONSOLIDATED
from kgedit.ingest.store.entry import Entry, State
from kgedit.ingest.store.store import IngestStore, open_store
from kgedit.ingest.store.undo import carrier, older, others_of, undo_own_delta, undo_shared_delta, undoable
from kgedit.lm.loading import Loading
from kgedit.progress import Progress


class Undone(BaseModel):
    """The result of an undo.

    Attributes:
        undone: Number of the change.
        weights_hash: Hash of the weights that the remaining changes give.
        answer: Where a counter-patch undid it, what the model answers again, as unedited; else None.
        superseded: The last earlier change of the same fact that stays superseded; None if there is none.
    """

    model_config = ConfigDict(frozen=True)

    undone: int
    weights_hash: str
    answer: str | None = None
    superseded: int | None = None

    @property
    def counter_patch(self) -> str:
        """What a counter-patch means, in words; empty where there was none."""
        if self.answer is None:
            return ""
        return (
            f"A counter-patch has the model answer {self.answer!r} again, as unedited; the next consolidation trains "
            "without the change."
        )

    @property
    def stays_superseded(self) -> str:
        """What becomes of the earlier change of the fact, in words; empty where there was none."""
        if self.superseded is None:
            return ""
        return (
            f"Change {self.superseded}, an earlier one of the same fact, does not come back: give it again in a file "
            "of another name to have it."
        )


class StoreVerified(BaseModel):
    """The result of a check of a store; `kgedit journal verify` prints it.

    Attributes:
        model: Model of the store.
        base_hash: Hash of its unedited weights.
        weights_hash: Hash of the edited weights, noted and computed.
        deltas: Number of live deltas; each was read and hashed.
        counts: State -> number of changes.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    base_hash: str
    weights_hash: str
    deltas: int
    counts: dict[str, int]


class ReplayedAnswer(BaseModel):
    """An applied change, asked again."""

    model_config = ConfigDict(frozen=True)

    id: int
    question: str
    answer: str
    right: bool


class Replayed(BaseModel):
    """The result of a replay; `kgedit journal replay` prints it.

    Attributes:
        answers: The applied changes in order.
        right: Share of them that are answered right.
        weights_hash: Hash of the edited weights.
    """

    model_config = ConfigDict(frozen=True)

    answers: tuple[ReplayedAnswer, ...]
    right: float
    weights_hash: str


def undo(
    directory: str | Path,
    id: int,
    *,
    counter_patch: bool = False,
    progress: Progress | None = None,
    **loading: Unpack[Loading],
) -> Undone:
    """Undo one change of a store.

    A delta of its own is left out, also when its file is damaged. What a consolidation trained is undone by a
    counter-patch, and so is what shares an adapter and superseded a change of another one. Else the others that share
    its adapter are retrained without it.

    Args:
        directory: Folder of the store.
        id: Number of the change in the journal.
        counter_patch: Undo by a counter-patch also where others would be retrained, which takes as long as they took.
        progress: Called with (what, done, total).
        **loading: See `session.open_edited`.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: It is not applied, or no counter-patch undoes it.
        WrongBase: The model is not the store's.
    """
    with open_store(directory, write=True, create=False) as store:
        entry = undoable(store, id)
        shared = carrier(store, entry) is not None
        model, graph, method = store.model, store.graph, patching_method(store.model, store.journal)
        settings: dict[str, dict[str, Any]] = {}
        seed = 0
        if shared and not (counter_patch or _patched_over(store, entry)):
            # Whatever trained it retrains it, as it was set then.
            manifest = store.delta(entry.delta or "").manifest
            method, seed = str(manifest["method"]), int(manifest.get("seed", 0))
            settings = {method: manifest.get("settings", {}), "ingest": {"closure": manifest.get("closure")}}
    if shared:
        with open_session(
            directory, model=model, method=method, graph=graph, seed=seed, settings=settings, progress=progress,
            **loading,
        ) as session:  # fmt: skip
            return undo_in(session, id, counter_patch=counter_patch)
    with open_edited(directory, check=False, write=True, **loading) as (store, _, weights):
        undo_own_delta(store, weights, id)
        return _undone(store, entry)


def undo_in(session: Session, id: int, *, counter_patch: bool = False) -> Undone:
    """Undo one change of an open store; see `undo`.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: It is not applied, no counter-patch undoes it, or the store was opened with another method than
            trained its delta.
    """
    store, entry = session.store, undoable(session.store, id)
    answer: str | None = None
    if carrier(store, entry) is None:
        undo_own_delta(store, session.weights, id)
    elif counter_patch or _patched_over(store, entry):
        answer = counter(session, id)
    else:
        _retrain_without(session, entry)
    return _undone(store, entry, answer)


def _undone(store: IngestStore, entry: Entry, answer: str | None = None) -> Undone:
    older_ones = [old for old in store.journal.all_of_slot(entry.slot) if old.id < entry.id]
    gone = [old.id for old in older_ones if old.state == State.SUPERSEDED]
    return Undone(
        undone=entry.id, weights_hash=store.weights_hash, answer=answer, superseded=gone[-1] if gone else None
    )


def _patched_over(store: IngestStore, entry: Entry) -> bool:
    """Whether a counter-patch undoes a change that a live delta goes on making, and no training without it.

    So it is where a consolidation trained the delta, and where another one makes an older change of the fact.
    """
    if not others_of(store, entry) or older(store, entry, entry.delta) is not None:
        return True
    return CONSOLIDATED in store.delta(entry.delta or "").manifest


def _retrain_without(session: Session, entry: Entry) -> None:
    store, decider, id = session.store, session.decider, entry.id
    live = store.live_with_entries()
    place = [delta.id for delta, _ in live].index(entry.delta or "")
    others = others_of(store, entry)
    if not decider.writer.shared:
        raise JournalError(
            f"change {id} shares an adapter with {len(others)} others, which are retrained without it; "
            "open the store with the method that trained it"
        )
    undo_shared_delta(store, session.weights, entry, others, decider.retrain(others, live[:place], live[place][0]))


def verify(directory: str | Path, **loading: Unpack[Loading]) -> StoreVerified:
    """Check all files of a store and the weights that they give; nothing is written.

    Raises:
        FileCorrupt, JournalError, WrongBase: Something is not as it should be; the message says what.
    """
    # 1. Journal and manifest are compared on opening, plans here.
    with open_store(directory) as store:
        for run in store.journal.runs():
            if (plan := store.plan_file(run.fingerprint)).is_file():
                Plan.load(plan)  # compared with its hash
    # 2. The live deltas and the weights that they give.
    with open_edited(directory, **loading) as (store, _, weights):
        return StoreVerified(
            model=store.model,
            base_hash=store.base_hash,
            weights_hash=weights.hash(),
            deltas=len(weights.deltas),
            counts=store.journal.counts(),
        )


def replay(directory: str | Path, *, progress: Progress | None = None, **loading: Unpack[Loading]) -> Replayed:
    """Apply the live deltas to the unedited model and ask each change; nothing is written.

    Raises:
        FileCorrupt, JournalError, WrongBase: See `verify`.
    """
    with open_edited(directory, **loading) as (store, editor, weights):
        # What a counter-patch undid is asked, too: its right answer is that of the unedited model.
        entries = store.journal.carried()
        requests = [editor.resolver.resolve(entry.edit).request for entry in entries]
        questions = [
            (request.question, entry.undone_to or request.target)
            for entry, request in zip(entries, requests, strict=True)
        ]
        if progress:
            progress("asking the changes", 0, len(entries))
        right = ask_all(editor.model, editor.tokenizer, questions)
        answers = tuple(
            ReplayedAnswer(id=entry.id, question=prompt, answer=target, right=answered)
            for entry, (prompt, target), answered in zip(entries, questions, right, strict=True)
        )
        share = round(sum(right) / len(right), 4) if right else 1.0
        return Replayed(answers=answers, right=share, weights_hash=weights.hash())
