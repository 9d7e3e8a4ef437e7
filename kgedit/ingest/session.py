"""A store open for work: model, weights in force, guards and writer, put together by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kg_cache.graph import KnowledgeGraph
from kgedit.editor import Editor
from kgedit.ingest.decide.adapter import AdapterSettings, AdapterWriter
from kgedit.ingest.decide.decider import Decider
from kgedit.ingest.decide.guard import Guard, GuardSettings, Mode
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.writer import MethodWriter, Writer, WriteSettings
from kgedit.ingest.store.commit import recover
from kgedit.ingest.store.in_force import WeightsInForce
from kgedit.ingest.store.store import IngestStore, open_store
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.second_moment.find import MomentSource
from kgedit.methods.base import load_method
from kgedit.presets import preset, table
from kgedit.progress import Progress

ADAPTER = AdapterWriter.name


@dataclass(frozen=True)
class Session:
    """What a run works with.

    Attributes:
        store: The store, open for writing.
        editor: Model, tokenizer, graph; no edit of its own is in force.
        weights: The model's weights as the journal has them.
        pool: Known facts.
        decider: What becomes of a batch.
        recovered: Changes that a killed run had begun and this one finished on opening.
    """

    store: IngestStore
    editor: Editor
    weights: WeightsInForce
    pool: FactPool
    decider: Decider
    recovered: int


@contextmanager
def open_session(
    directory: str | Path,
    *,
    model: str,
    method: str = "glame",
    graph: KnowledgeGraph | str | Path | None = None,
    guard: Mode = "refuse",
    moments: MomentSource = "auto",
    seed: int = 0,
    settings: dict[str, dict[str, Any]] | None = None,
    progress: Progress | None = None,
) -> Iterator[Session]:
    """Open a store with its model, and finish what a killed run had begun.

    Args:
        directory: The store; made if it is not there.
        model: "mini", a hub id, or a folder: the unedited model.
        method: An editing method, or "finetune-adapter".
        graph: See `Editor.from_pretrained`.
        guard: What happens where a guard fails.
        moments: See `Editor.from_pretrained`.
        seed: Seed of whatever is drawn.
        settings: Changes of the preset's tables "guards", "ingest" and "finetune-adapter".
        progress: Called with (what, done, total).

    Raises:
        WrongBase: The store belongs to another model.
        StoreBusy: Another process writes to it.
        FileCorrupt, JournalError: It is damaged.
        SaveFailed: It cannot be written.
    """
    changed = settings or {}

    def of(name: str) -> dict[str, Any]:
        return table(model, name) | changed.get(name, {})

    chosen = WriteSettings.model_validate(of("ingest"))
    with open_store(directory, write=True) as store:
        editor = _editor(model, method, graph, moments, seed, chosen, progress)
        weights = WeightsInForce(editor.model)
        store.bind(model, weights.base_hash)
        if isinstance(graph, str | Path):
            store.journal.set_about({"graph": str(Path(graph).absolute())})
        unedited = partial(weights.trial, ())
        # The guards read the unedited model before the changes in force are put.
        pool = FactPool.of(model, editor.graph, editor.text)
        guards = Guard(GuardSettings.model_validate(of("guards")), editor.model, editor.tokenizer, pool)
        writer: Writer
        if method == ADAPTER:
            trained = AdapterSettings.model_validate(of(ADAPTER))
            writer = AdapterWriter(
                editor.model, editor.tokenizer, pool, trained, unedited, seed=seed, progress=progress
            )
        else:
            writer = MethodWriter(editor, pool, chosen, unedited, seed)
        recovered = recover(store, weights)
        decider = Decider(editor, weights, pool, guards, writer, mode=guard, progress=progress)
        yield Session(store, editor, weights, pool, decider, recovered)


def _editor(
    model: str,
    method: str,
    graph: KnowledgeGraph | str | Path | None,
    moments: MomentSource,
    seed: int,
    settings: WriteSettings,
    progress: Progress | None,
) -> Editor:
    name = "glame" if method == ADAPTER else method  # for an adapter it only builds the subgraphs
    editor = Editor.from_pretrained(model, method=name, graph=graph, moments=moments, seed=seed, progress=progress)
    kind = load_method(name)
    changes = settings.settings.get(name, {})
    if "deep_layers" in kind.Config.model_fields:
        changes = changes | {"deep_layers": ()}  # a batch's write is taken apart by change, which a deep one cannot be
    if changes:
        fields, _ = preset(model, name, anatomy_of(editor.model).n_layers(editor.model))
        editor.method = kind(kind.Config.model_validate(fields | changes))
    return editor
