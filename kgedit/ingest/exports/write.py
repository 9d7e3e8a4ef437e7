"""Exports the applied changes of a store as a LoRA adapter, a merged checkpoint, or one delta.

The folder gets its name only when every file in it is written and flushed; its record is `manifest.ExportRecord`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Unpack

from kgedit.delta import Delta, DeltaStack, LowRankDelta
from kgedit.delta.compress import compress
from kgedit.delta.gguf.lora import export_gguf_lora
from kgedit.delta.low_rank import as_low_rank
from kgedit.editor import Editor
from kgedit.errors import JournalError, MissingExtra, UnsupportedExport
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.decide.probes import fact_probes
from kgedit.ingest.exports.card import card
from kgedit.ingest.exports.manifest import (
    CARD,
    RECORD,
    ExportCheck,
    ExportedChange,
    ExportKind,
    ExportRecord,
    hashes,
    own_files,
)
from kgedit.ingest.session import open_edited
from kgedit.ingest.store.entry import Entry
from kgedit.ingest.store.store import IngestStore
from kgedit.io.atomic_files import write_files
from kgedit.io.atomic_folder import foreign, whole_folder
from kgedit.lm.base_name import public_name
from kgedit.lm.loading import Loading
from kgedit.lm.quiet import quiet
from kgedit.progress import Progress

GGUF = "adapter.gguf"
_AT_ONCE = 64  # changes prepared between two reports of progress


def export(
    directory: str | Path,
    out: str | Path,
    kind: ExportKind | str,
    *,
    rank: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **loading: Unpack[Loading],
) -> ExportRecord:
    """Write the applied changes of a store into a folder of their own.

    Args:
        directory: Folder of the store; it is only read.
        out: Folder to make; an earlier export is replaced, if it holds nothing else and nothing in it was changed.
        kind: "adapter", "checkpoint" or "delta".
        rank: Maximum rank per weight of an adapter or delta; by default nothing is compressed.
        force: Also write into a folder that holds other files; these stay unless they have the name of a new one.
        progress: Called with (what, done, total).
        **loading: See `session.open_edited`.

    Returns:
        The record of the folder.

    Raises:
        JournalError: No change is applied, or the store is not as its journal says.
        FileCorrupt, WrongBase: See `maintenance.verify`.
        StoreBusy: A run changed the store meanwhile.
        UnsupportedExport: The changes do not fit into an adapter.
        SaveFailed: The folder cannot be written, or something else is there; it is as before.
    """
    kind = ExportKind(kind)
    foreign(Path(out), own_files, force=force)  # told before the work
    with open_edited(directory, **loading) as (store, editor, weights):
        return export_open(store, editor, weights, out, kind, rank=rank, force=force, progress=progress)


def export_open(
    store: IngestStore,
    editor: Editor,
    weights: DeltaStack,
    out: str | Path,
    kind: ExportKind,
    *,
    rank: int | None = None,
    force: bool = False,
    gguf: bool = False,
    progress: Progress | None = None,
) -> ExportRecord:
    """Write the applied changes of an open store into a folder of their own; see `export`.

    Args:
        store: The open store.
        editor: Its model and graph.
        weights: The model's weights with the live deltas applied.
        out: See `export`.
        kind: See `export`.
        rank: See `export`.
        force: See `export`.
        gguf: Also write the adapter as `adapter.gguf`, where llama.cpp knows the model and the package is there.
        progress: See `export`.
    """
    # Read before it is compared whether these are still the deltas in force.
    in_force, weights_hash = store.journal.in_force(), store.weights_hash
    if list(store.live()) != [delta.id for delta in weights.deltas]:
        raise store.changing()
    if not in_force:
        raise JournalError(f"no change of the store {store.directory} is applied, so there is nothing to export")
    # 1. The questions of each change, asked on the store's weights.
    changes = _changes(editor, in_force, progress)
    # 2. One delta of all, compressed where that is asked for.
    composed = weights.joined(weights.deltas)
    errors: dict[str, float] = {}
    ranks: dict[str, int] = {}
    if isinstance(composed, LowRankDelta) and kind is not ExportKind.CHECKPOINT:
        if rank is not None:
            composed, errors = compress(composed, rank)
        ranks = {update.name: update.rank for update in composed.updates}
    # 3. The folder, with its card and the record of every file.
    with whole_folder(Path(out), own_files, force=force) as folder:
        _write(folder, kind, editor, composed)
        if gguf:
            with suppress(UnsupportedExport, MissingExtra):
                export_gguf_lora(as_low_rank(composed), editor.model, folder / GGUF)
        record = ExportRecord(
            kind=kind,
            model=public_name(editor.model, store.model),
            loading=store.loading,
            base_hash=store.base_hash,
            weights_hash=weights_hash,
            ranks=ranks,
            errors=errors,
            changes=changes,
            files=hashes(folder),
        )
        text = card(record).encode()
        record = record.model_copy(update={"card": hashlib.sha256(text).hexdigest()})
        write_files(folder, {CARD: text, RECORD: record.model_dump_json(indent=1, by_alias=True).encode()})
    return record


def _write(folder: Path, kind: ExportKind, editor: Editor, composed: Delta) -> None:
    if kind is ExportKind.ADAPTER:
        composed.export(editor.model, folder)
    elif kind is ExportKind.DELTA:
        composed.save(folder)
    else:
        with quiet():
            editor.model.save_pretrained(folder)
            editor.tokenizer.save_pretrained(folder)


def _changes(editor: Editor, entries: Sequence[Entry], progress: Progress | None) -> tuple[ExportedChange, ...]:
    """The changes with their questions, asked on the edited weights."""
    changes: list[ExportedChange] = []
    for start in range(0, len(entries), _AT_ONCE):
        if progress:
            progress("asking each change", start, len(entries))
        part = entries[start : start + _AT_ONCE]
        probes = [fact_probes(editor.resolver.resolve(entry.edit).request, editor.text) for entry in part]
        questions = [[(kind, pair) for kind, pairs in each.items() for pair in pairs] for each in probes]
        answers = iter(ask_all(editor.model, editor.tokenizer, [pair for pairs in questions for _, pair in pairs]))
        for entry, pairs in zip(part, questions, strict=True):
            checks = tuple(
                ExportCheck(change=entry.id, kind=kind, question=prompt, answer=target, answered=next(answers))
                for kind, (prompt, target) in pairs
            )
            changes.append(
                ExportedChange(
                    id=entry.id,
                    subject=entry.edit.subject,
                    relation=entry.edit.relation,
                    target_new=entry.edit.target_new,
                    delta=entry.delta or "",
                    source=entry.change.where,
                    dated=entry.change.dated,
                    evidence=entry.change.provenance.evidence if entry.change.provenance else None,
                    checks=checks,
                )
            )
    return tuple(changes)
