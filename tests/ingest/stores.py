"""A store of the bundled model with real edits in force, made without guards and in a few seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from kgedit.delta import DeltaStack
from kgedit.editor import Editor
from kgedit.ingest.change import Provenance, change_key, slot_key
from kgedit.ingest.store.commit import commit
from kgedit.ingest.store.decision import Accepted, Decision
from kgedit.ingest.store.entry import PlannedEdit, Received, State
from kgedit.ingest.store.store import IngestStore, open_store
from kgedit.mini.cases import Casebook

# Of the cases drawn with this seed, two that hold beside each other; of each, one other wording does not.
SEED, DRAWN = 1001, (1, 6)
SEEN, DATED = datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC)
EVIDENCE = "https://example.org/a_b"


def edited_store(directory: Path) -> Path:
    """A store with two rome edits in force."""
    editor = Editor.from_pretrained("mini", method="rome", moments="identity")
    with open_store(directory, write=True) as store:
        fill(store, "mini", editor)
    return directory


def fill(store: IngestStore, model: str, editor: Editor) -> None:
    """Put two edits into an empty store of the editor's model, which is called so."""
    cases = Casebook().draw(max(DRAWN) + 1, seed=SEED)
    edits = [cases[number].edit for number in DRAWN]
    ready = [editor.prepare(edit) for edit in edits]
    computed = editor.compute([request for request, _ in ready], [None] * len(edits))
    weights = DeltaStack(editor.model, sole_writer=True)
    store.bind(model, weights.hash_unedited())
    store.journal.receive(
        Received(
            key=change_key(edit),
            slot=slot_key(edit),
            change=PlannedEdit(
                edit=edit,
                provenance=Provenance(
                    feed="a|b.jsonl", position=f"line {number}", seen=SEEN, dated=DATED, evidence=EVIDENCE
                ),
            ),
        )
        for number, edit in enumerate(edits, 1)
    )
    entries = store.entries(State.RECEIVED)
    accepted = [Accepted(entry, one.delta, {}) for entry, one in zip(entries, computed, strict=True)]
    commit(store, weights, Decision(tuple(accepted)))
