"""What is done to a store between runs: take a change back, verify it, replay it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kgedit.editor import Editor
from kgedit.errors import JournalError
from kgedit.ingest.decide.decider import question_of
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.runner import take_back
from kgedit.ingest.session import ADAPTER, open_session
from kgedit.ingest.store.commit import put_noted, undo
from kgedit.ingest.store.in_force import WeightsInForce
from kgedit.ingest.store.store import IngestStore, open_store
from kgedit.progress import Progress


class Verified(BaseModel):
    """What `kgedit journal verify` prints.

    Attributes:
        model: Model of the store.
        base_hash: Hash of its unedited weights.
        weights_hash: Hash of the weights in force, noted and found.
        deltas: Number of deltas in force; each was read and hashed.
        counts: State -> number of changes.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    base_hash: str
    weights_hash: str
    deltas: int
    counts: dict[str, int]


class ReplayedAnswer(BaseModel):
    """One change in force, asked again."""

    model_config = ConfigDict(frozen=True)

    id: int
    question: str
    answer: str
    right: bool


class Replayed(BaseModel):
    """What `kgedit journal replay` prints: every change in force, asked on base plus deltas."""

    model_config = ConfigDict(frozen=True)

    answers: tuple[ReplayedAnswer, ...]
    right: float
    weights_hash: str


def take_back_from(directory: Path, id: int, *, progress: Progress | None = None) -> str:
    """Take one change of a store back; returns the hash of the weights that remain in force.

    Changes that share an adapter are trained anew without it; a delta of its own is simply left out, also when its
    file is damaged.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: It is not in force.
        WrongBase: The model is not the store's.
    """
    with open_store(directory, write=True) as store:
        entry, live = store.journal.entry(id), store.live()
        shares = entry.delta in live and len(live[entry.delta or ""]) > 1
        if not shares:
            _, weights = loaded(store)
            undo(store, weights, id)
            return store.weights_hash
        model, graph = store.model, store.graph
    with open_session(directory, model=model, method=ADAPTER, graph=graph, progress=progress) as session:
        take_back(session, id)
        return session.store.weights_hash


def verify(directory: Path) -> Verified:
    """Check all files of a store and the weights that they give; nothing is written.

    Raises:
        FileCorrupt, JournalError, WrongBase: Something is not as it should be; the message says what.
    """
    with open_store(directory) as store:
        _, weights = loaded(store)
        put_noted(store, weights)
        return Verified(
            model=store.model,
            base_hash=store.base_hash,
            weights_hash=weights.hash(),
            deltas=len(weights.deltas),
            counts=store.journal.counts(),
        )


def replay(directory: Path, *, progress: Progress | None = None) -> Replayed:
    """Apply the changes in force to the unedited model and ask each; nothing is written.

    Raises:
        FileCorrupt, JournalError, WrongBase: See `verify`.
    """
    with open_store(directory) as store:
        editor, weights = loaded(store)
        put_noted(store, weights)
        entries = store.journal.in_force()
        questions = [question_of(editor, entry) for entry in entries]
        if progress:
            progress("asking", 0, len(entries))
        right = ask_all(editor.model, editor.tokenizer, questions)
        answers = tuple(
            ReplayedAnswer(id=entry.id, question=prompt, answer=wanted, right=said)
            for entry, (prompt, wanted), said in zip(entries, questions, right, strict=True)
        )
        share = round(sum(right) / len(right), 4) if right else 1.0
        return Replayed(answers=answers, right=share, weights_hash=weights.hash())


def loaded(store: IngestStore, method: str = "rome") -> tuple[Editor, WeightsInForce]:
    """The store's model, unedited; the method computes nothing and only says how far subgraphs reach."""
    if not store.base_hash:
        raise JournalError(f"{store.directory} is an empty store: no run has begun in it")
    editor = Editor.from_pretrained(store.model, method=method, graph=store.graph)
    weights = WeightsInForce(editor.model)
    store.bind(store.model, weights.base_hash)
    return editor, weights
