"""Hand-over: the changes in force of a store as a LoRA adapter, a merged checkpoint, or one delta.

The folder gets its name only when every file in it is written and flushed; `exported.Exported` says what it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kgedit.delta import LowRankDelta, compose
from kgedit.delta.compress import compress
from kgedit.delta.peft import export_adapter
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import JournalError, StoreBusy
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.decide.probes import fact_probes
from kgedit.ingest.exports.card import card
from kgedit.ingest.exports.manifest import CARD, RECORD, Check, Exported, ExportedChange, Kind, hashes
from kgedit.ingest.maintenance import loaded
from kgedit.ingest.store.commit import put_noted
from kgedit.ingest.store.entry import Entry
from kgedit.ingest.store.store import open_store
from kgedit.io.atomic_files import write_files
from kgedit.io.atomic_folder import whole_folder
from kgedit.lm.load import quiet
from kgedit.progress import Progress

_AT_ONCE = 64  # changes prepared between two reports of progress


def export(
    directory: Path, out: Path, kind: Kind, *, rank: int | None = None, progress: Progress | None = None
) -> Exported:
    """Write the changes in force of a store into a folder of their own.

    Args:
        directory: The store; it is only read.
        out: Folder to make; an earlier export is replaced, anything else is left alone.
        kind: What to write.
        rank: Largest rank per weight of an adapter or delta; by default nothing is compressed.
        progress: Called with (what, done, total).

    Returns:
        What the folder's record says.

    Raises:
        JournalError: Nothing is in force, or the store is not as its journal says.
        FileCorrupt, WrongBase: See `maintenance.verify`.
        StoreBusy: A run changed the store meanwhile.
        UnsupportedExport: The changes do not fit into an adapter.
        SaveFailed: The folder cannot be written, or something else is there; it is as before.
    """
    with open_store(directory) as store:
        editor, weights = loaded(store)
        put_noted(store, weights)
        live = store.live()
        if list(live) != [delta.id for delta in weights.deltas]:
            raise StoreBusy(f"a run changes the store {directory} just now; let it finish and try again")
        if not live:
            raise JournalError(f"no change of the store {directory} is in force, so there is nothing to hand over")
        changes = _changes(editor, [entry for entries in live.values() for entry in entries], progress)
        composed = weights.on_base(compose(*weights.deltas, base_hash=""))
        errors: dict[str, float] = {}
        if rank is not None and kind is not Kind.CHECKPOINT:
            composed, errors = compress(composed, rank)
        with whole_folder(out, RECORD) as folder:
            _write(folder, kind, editor, composed)
            record = Exported(
                kind=kind,
                model=store.model,
                base_hash=store.base_hash,
                weights_hash=store.weights_hash,
                ranks={} if kind is Kind.CHECKPOINT else {update.name: update.rank for update in composed.updates},
                errors=errors,
                changes=changes,
                files=hashes(folder),
            )
            written = {CARD: card(record).encode(), RECORD: record.model_dump_json(indent=1).encode()}
            write_files(folder, written)
        return record


def _write(folder: Path, kind: Kind, editor: Editor, composed: LowRankDelta) -> None:
    if kind is Kind.ADAPTER:
        export_adapter(composed, editor.model, folder)
    elif kind is Kind.DELTA:
        composed.save(folder)
    else:
        with quiet():
            editor.model.save_pretrained(folder)
            editor.tokenizer.save_pretrained(folder)


def _changes(editor: Editor, entries: Sequence[Entry], progress: Progress | None) -> tuple[ExportedChange, ...]:
    """The changes with their questions, asked on the weights in force."""
    found: list[ExportedChange] = []
    for start in range(0, len(entries), _AT_ONCE):
        if progress:
            progress("asking each change", start, len(entries))
        part = entries[start : start + _AT_ONCE]
        asked = [_questions(editor, entry) for entry in part]
        answers = iter(ask_all(editor.model, editor.tokenizer, [pair for some in asked for _, pair in some]))
        for entry, questions in zip(part, asked, strict=True):
            checks = tuple(
                Check(change=entry.id, kind=kind, question=prompt, answer=answer, held=next(answers))
                for kind, (prompt, answer) in questions
            )
            edit, seen = Edit.model_validate(entry.change["edit"]), entry.change.get("provenance")
            found.append(
                ExportedChange(
                    id=entry.id,
                    subject=edit.subject,
                    relation=edit.relation,
                    target_new=edit.target_new,
                    delta=entry.delta or "",
                    source=f"{seen['feed']}, {seen['position']}" if isinstance(seen, dict) else "",
                    checks=checks,
                )
            )
    return tuple(found)


def _questions(editor: Editor, entry: Entry) -> list[tuple[Any, tuple[str, str]]]:
    """Kind and question of each check of a change."""
    request = editor.resolver.resolve(Edit.model_validate(entry.change["edit"])).request
    return [(kind, pair) for kind, pairs in fact_probes(request, editor.text).items() for pair in pairs]
