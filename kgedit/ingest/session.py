"""Opens a store together with its model: for a run, with guards and writer, or to ask the edited model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack, cast

from kg_cache.graph import KnowledgeGraph
from kg_cache.settings import Settings
from kg_cache.store import Store
from kgedit.delta import DeltaStack
from kgedit.editor import Editor
from kgedit.errors import JournalError, SettingError
from kgedit.graph.rules import Rule, mine_rules
from kgedit.ingest.decide.decider import Decider
from kgedit.ingest.decide.guard import Guard, GuardSettings, Mode
from kgedit.ingest.decide.kept_verdicts import KeptVerdicts
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.writer import Writer, WriteSettings
from kgedit.ingest.plan.planner import REMEMBERED
from kgedit.ingest.store.commit import apply_live, commit, recover
from kgedit.ingest.store.entry import Entry
from kgedit.ingest.store.store import JOURNAL, LOADING, IngestStore, open_store
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.base_name import from_anywhere
from kgedit.lm.chat import ChatChoice, ChatForm
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.find import MayCollect, MomentSource
from kgedit.methods.computing import check_chat
from kgedit.methods.registry import load_method, method_for, parse_variant
from kgedit.mini import MINI
from kgedit.mini.corpus import bundled_sentences
from kgedit.presets import table
from kgedit.progress import Progress
from kgedit.resolve import Resolver


@dataclass(frozen=True)
class Session:
    """A store open for a run.

    Attributes:
        store: The store, open for writing.
        editor: Model, tokenizer, graph; it has applied no edit of its own.
        weights: The model's weights with the live deltas applied.
        names: Resolves the names of changes, each once a feed.
        pool: Known facts.
        decider: Decides batches.
        recovered: Number of changes that a killed run had begun and that were finished on opening.
        decider_by: Makes a decider of another method for the same store, model and guards; if its changes share a
            delta, it trains what follows from all of them together.
        notes: What a reader should know about the method's settings, e.g. a layer that is a guess.
    """

    store: IngestStore
    editor: Editor
    weights: DeltaStack
    names: Resolver
    pool: FactPool
    decider: Decider
    recovered: int
    decider_by: Callable[[str], Decider]
    notes: tuple[str, ...] = ()

    def decide(self, entries: Sequence[Entry]) -> None:
        """Decide changes that wait, no two of one fact, and commit what was decided."""
        store = self.store
        # A change that a counter-patch undid is superseded as one in force is.
        replaced = partial(store.journal.of_slot, countered=True)
        commit(store, self.weights, self.decider.decide(entries, store.live_with_entries(), replaced))


@contextmanager
def open_session(
    directory: str | Path,
    *,
    model: str,
    method: str | None = None,
    graph: KnowledgeGraph | str | Path | None = None,
    guard: Mode = "refuse",
    moments: MomentSource = "auto",
    seed: int = 0,
    settings: dict[str, dict[str, Any]] | None = None,
    chat: ChatChoice | None = None,
    system: str | None = None,
    check: bool = True,
    may_collect: MayCollect | None = None,
    progress: Progress | None = None,
    **loading: Unpack[Loading],
) -> Iterator[Session]:
    """Open a store with its model for a run, and finish what a killed run had begun.

    Args:
        directory: Folder of the store; made if it is not there.
        model: "mini", a hub id, or a folder: the unedited model.
        method: An editing method, as in `Editor.from_pretrained`; by default that of the preset's table "ingest".
        graph: See `Editor.from_pretrained`.
        guard: Whether a change that fails a guard is refused, or accepted with a warning.
        moments: See `Editor.from_pretrained`.
        seed: Seed of all draws.
        settings: Overrides of the preset's tables "guards" and "ingest", and of the method's own.
        chat: Whether changes are made in the model's chat form, too; see `lm.chat.ChatForm.chosen`. It is noted in the
            store, and holds where that is opened again; by default "never".
        system: System prompt of that chat, noted with it; the template's own by default.
        check: See `open_edited`; without it, nothing is finished either.
        may_collect: Asked, with the model's name and the layers, where second moments were never collected; if it says
            so, they are collected from the facts of the graph, and kept.
        progress: Called with (what, done, total).
        **loading: Device, precision and revision; see `lm.loading.Loading`. Precision and revision are noted in the
            store, and hold where it is opened again.

    Raises:
        ChatTemplateError: Changes are to be made in chat form, and the model has no template, or one that fails, or
            the method does not do that.
        SettingError: What follows by rules is wanted, and the graph is not a local one.
        WrongBase: The store belongs to another model.
        StoreBusy: Another process writes to it.
        FileCorrupt, JournalError: It is damaged.
        SaveFailed: It cannot be written.
    """
    overrides = settings or {}

    def settings_of(name: str) -> dict[str, Any]:
        return table(model, name) | overrides.get(name, {})

    chosen = WriteSettings.model_validate(settings_of("ingest"))
    method = method or chosen.method

    def fit(editor: Editor, method: str) -> tuple[str, ...]:
        """Give an editor the method, with the settings for many edits; returns what to say about them."""
        layers = anatomy_of(editor.model).n_layers(editor.model)
        name = parse_variant(method)[0]
        usual = {} if table(model, name) else load_method(name).in_stores
        changes = {**usual, **chosen.settings.get(name, {}), **overrides.get(name, {})}
        editor.method, notes = method_for(model, method, layers, changes)
        return notes

    def loaded_with(loading: Loading, chat: ChatChoice, system: str | None) -> tuple[Editor, tuple[str, ...]]:
        editor = Editor.from_pretrained(
            model, method=method, graph=graph, moments=moments, seed=seed, progress=progress, **loading
        )
        questions = editor.text.first_questions
        editor.chat = ChatForm.chosen(chat, editor.tokenizer, system=system, questions=questions)
        notes = fit(editor, method)
        check_chat(editor.method, chat)
        if chosen.closure is not None and not isinstance(editor.graph, Store):
            raise SettingError(
                f"rules are counted in a local graph, and {editor.graph.name} is none; leave closure out, or open a "
                "graph file"
            )
        lacking = editor.moments.uncollected(editor.method.moment_layers)
        if lacking and may_collect and may_collect(editor.name, lacking):
            editor.moments.source = "collect"
        return editor, notes

    # What cannot be loaded leaves no store behind.
    loaded = None if (Path(directory) / JOURNAL).exists() else loaded_with(loading, chat or "never", system)
    with open_store(directory, write=True) as store:
        noted = (store.chat[0], system or store.chat[1]) if chat is None else (chat, system)
        editor, notes = loaded or loaded_with(cast("Loading", store.loading | loading), *noted)
        weights = DeltaStack(editor.model, sole_writer=True)
        # A new store finds the folder of its model again from any working directory.
        store.bind(from_anywhere(model), weights.hash_unedited())
        store.journal.set_about({name: str(value) for name, value in loading.items() if name in LOADING and value})
        if chat is not None or system is not None:
            store.journal.set_about({"chat": noted[0], "system": noted[1] or ""})
        if isinstance(graph, str | Path):
            store.journal.set_about({"graph": str(Path(graph).absolute())})
        unedited = partial(weights.trial, ())
        # The guards read the unedited model, so they come before the live deltas.
        kept = KeptVerdicts(Settings().cache_dir / "recalled", weights.hash_unedited(), progress)
        pool = FactPool.of(model, editor.graph, editor.text, kept=kept, progress=progress)
        guards = Guard(GuardSettings.model_validate(settings_of("guards")), editor.model, editor.tokenizer, pool)
        names = Resolver(editor.graph, editor.text, remembered=REMEMBERED)
        rules = _rules(editor, chosen.closure)
        recovered = recover(store, weights) if check else 0

        def decider_of(editor: Editor, *, follow: bool = False) -> Decider:
            writer = Writer(editor, pool, chosen, unedited, seed, follow=follow)
            return Decider(editor, weights, names, pool, guards, writer, rules=rules, mode=guard, progress=progress)

        def decider_by(method: str) -> Decider:
            texts = bundled_sentences if model == MINI else None
            other = Editor(
                editor.model, editor.tokenizer, editor.graph, None, moments=moments, texts=texts, seed=seed,
                name=model, progress=progress,
            )  # fmt: skip
            other.chat = editor.chat
            fit(other, method)
            return decider_of(other, follow=True)

        yield Session(store, editor, weights, names, pool, decider_of(editor), recovered, decider_by, notes)


def _rules(editor: Editor, closure: float | None) -> tuple[Rule, ...]:
    """The rules of a local graph, none where none are wanted."""
    if closure is None or not isinstance(editor.graph, Store):
        return ()
    return mine_rules(editor.graph.triples(), editor.text, least_confidence=closure)


@contextmanager
def open_edited(
    directory: str | Path,
    *,
    method: str | None = None,
    check: bool = True,
    write: bool = False,
    **loading: Unpack[Loading],
) -> Iterator[tuple[IngestStore, Editor, DeltaStack]]:
    """Open a store with its model and its live deltas applied, without guards or writer.

    Args:
        directory: Folder of the store.
        method: Says how far subgraphs reach; by default their standard size. It computes nothing.
        check: Apply the live deltas and compare the weights with those noted; else the model stays unedited.
        write: Allow changes of the store.
        **loading: Device and the like; precision and revision are those noted in the store unless they are given.

    Yields:
        Store, editor and weights.

    Raises:
        JournalError: There is no store, it is empty, or the deltas give other weights than noted.
        FileCorrupt: A file is damaged.
        WrongBase: The model is not the store's.
    """
    with open_store(directory, write=write, create=False) as store:
        if not store.base_hash:
            raise JournalError(f"{store.directory} is an empty store: no run has begun in it")
        editor = Editor.from_pretrained(
            store.model, method=method, graph=store.graph, **cast("Loading", store.loading | loading)
        )
        weights = DeltaStack(editor.model, sole_writer=True)
        store.bind(store.model, weights.hash_unedited())
        if check:
            apply_live(store, weights)
        yield store, editor, weights
