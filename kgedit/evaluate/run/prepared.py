"""What a run begins with: cases from the records of a file, the methods with their settings, the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kg_cache.errors import KnowledgeGraphError
from kgedit.editor import Editor
from kgedit.errors import EditError, EvaluationError
from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Unusable
from kgedit.evaluate.benchmarks.reading import Loaded, load
from kgedit.evaluate.benchmarks.records import Record, Rewrite
from kgedit.evaluate.benchmarks.table import benchmark, benchmarks
from kgedit.evaluate.free.case import FreeForm, free_cases
from kgedit.evaluate.free.graph_facts import GraphFacts
from kgedit.evaluate.results import PASTED, LeftOut
from kgedit.evaluate.run.manifest import RunManifest, make_manifest
from kgedit.evaluate.run.rehearsal import Rehearsal
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.evaluate.run.usable import usable_methods, usable_variants
from kgedit.lm.chat import ChatForm
from kgedit.lm.second_moment.describe import moments_note
from kgedit.lm.second_moment.find import MayCollect, check_layers, identity_note
from kgedit.methods.base import Method
from kgedit.methods.registry import parse_variant
from kgedit.methods.settings import MethodSettings
from kgedit.mini import MINI
from kgedit.progress import Progress
from kgedit.resolve import Resolver

MALFORMED = "a record of the file cannot be read"
_LOOKED_UP = 100  # edits, before the first case: one name that is in no graph takes some hundredths of a second


@dataclass
class Prepared:
    """A run before its first case.

    Attributes:
        cases: All cases, in the order of the file.
        left_out: Records without a case, and why.
        configs: Label of each method -> its settings.
        moment_layers: Layers whose second moments the methods need.
        editor: Editor of the unedited model, without a method.
        manifest: All that the numbers of the run depend on.
        notes: What the reader of the report should know beside it.
    """

    cases: list[BenchmarkCase]
    left_out: tuple[LeftOut, ...]
    configs: dict[str, MethodSettings]
    moment_layers: list[int]
    editor: Editor
    manifest: RunManifest
    notes: tuple[str, ...]


def prepare(
    settings: EvaluationSettings,
    progress: Progress | None = None,
    may_collect: MayCollect | None = None,
) -> Prepared:
    """Read the data, load the model and choose the settings of every method.

    Args:
        settings: What is evaluated.
        progress: Called with (what, done, total).
        may_collect: See `evaluate`.

    Raises:
        EvaluationError: The settings do not fit together, or not to the data.
        DataError: The data cannot be read.
    """
    # Records become cases; those from which nothing can be scored are left out by name.
    loaded, options = load(settings.data), settings.options()
    variants = settings.variants
    cases, unusable = _cases(settings, loaded, options)
    notes: tuple[str, ...] = ()
    if (variants or PASTED in settings.columns) and not any(case.rewrites for case in cases):
        variants, notes = (), (f"{settings.suite} edits nothing, so only the unedited model is scored",)
    variants, left_out_methods = usable_variants(settings, variants)
    # The settings of every method belong to the manifest, so they are chosen before the folder is opened.
    editor = open_editor(settings, None, progress=progress)
    if settings.protocol == "free":
        facts = GraphFacts(editor.graph, editor.text)
        cases = free_cases(cases, FreeForm(editor.tokenizer, facts, options.match, settings.seed, settings.system))
    chosen, said = usable_methods(settings, variants, editor.model)
    configs = {variant: method.config for variant, method in chosen.items()}
    # Missing statistics are said before the first edit.
    wanted = sorted({layer for method in chosen.values() for layer in method.moment_layers})
    uncollected: Sequence[int] = ()
    if isinstance(settings.moments, Path):
        check_layers(settings.moments, wanted)
    elif (uncollected := editor.moments.uncollected(wanted)) and may_collect and may_collect(editor.name, uncollected):
        editor.moments.source = "collect"
        editor.moments.of(uncollected)
        uncollected = ()
    elif uncollected:
        notes += (f"layers {uncollected}: {identity_note(editor.model)}",)
    notes += (*left_out_methods, *said, *_graph_notes(editor, chosen, cases))
    if editor.chat and (texts_alone := [label for label, method in chosen.items() if not method.takes_chat]):
        notes += (f"{', '.join(texts_alone)}: not optimised in the model's chat form, which the method does not do",)
    if wanted and not uncollected:
        notes += (moments_note(settings.moments, bundled_texts=settings.model == MINI),)
    manifest = make_manifest(settings, options, loaded, editor, chosen, uncollected, cases)
    left_out = (*_malformed(loaded), *unusable)
    return Prepared(cases, left_out, configs, wanted, editor, manifest, notes)


def open_editor(
    settings: EvaluationSettings,
    method: str | None,
    config: MethodSettings | None = None,
    progress: Progress | None = None,
) -> Editor:
    """An editor as the settings say.

    Raises:
        ChatTemplateError: Edits are to be made in chat form, and the model has no chat template, or one that fails.
    """
    editor = Editor.from_pretrained(
        settings.model,
        method=method,
        config=config,
        graph=settings.graph,
        moments=settings.moments,
        seed=settings.seed,
        device=settings.device,
        dtype=settings.dtype,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
        progress=progress,
    )
    if settings.chat != "never":
        editor.chat = ChatForm.chosen(
            settings.chat, editor.tokenizer, system=settings.system, questions=editor.text.first_questions
        )
    return editor


def open_method(
    settings: EvaluationSettings,
    label: str,
    config: MethodSettings,
    rehearsal: Rehearsal,
    progress: Progress | None = None,
) -> Editor:
    """An editor of the unedited model with one of the run's methods, and the facts that it may rehearse."""
    editor = open_editor(settings, parse_variant(label)[0], config, progress)
    editor.known_facts = rehearsal.known_facts(editor)
    return editor


def _cases(
    settings: EvaluationSettings, loaded: Loaded, options: Options
) -> tuple[list[BenchmarkCase], list[LeftOut]]:
    case_of = _case_maker(settings.suite, loaded)
    cases: list[BenchmarkCase] = []
    left_out: list[LeftOut] = []
    for record in loaded.records[: settings.limit]:
        if len(cases) == settings.most_cases:
            break
        try:
            cases.append(case_of(record, options))
        except Unusable as error:
            left_out.append(LeftOut(case=str(record.case_id), method=None, reason=str(error), detail=str(error)))
    if not cases:
        raise EvaluationError(f"{settings.data} holds no case that can be scored. {loaded.summary()}")
    if settings.sequence and len(cases) < settings.sequence[-1]:
        raise EvaluationError(
            f"{settings.data} holds {len(cases)} cases that can be scored, but the sequence goes up to "
            f"{settings.sequence[-1]}; take lengths up to {len(cases)}, or a larger file"
        )
    return cases, left_out


def _case_maker(suite: str, loaded: Loaded) -> Callable[[Record, Options], BenchmarkCase]:
    """How the records of a file are scored under a benchmark, if they are in one of its formats."""
    chosen = benchmark(suite)
    taken = {layout.name for layout in chosen.formats}
    if loaded.format not in taken:
        fitting = [row.name for row in benchmarks().values() if loaded.format in {form.name for form in row.formats}]
        raise EvaluationError(
            f"{loaded.source} is in the format {loaded.format}, which is not one of {suite} "
            f"({', '.join(sorted(taken))}); it can be run as {' or '.join(fitting)}"
        )
    return chosen.case_maker()


def _graph_notes(editor: Editor, methods: Mapping[str, Method], cases: Sequence[BenchmarkCase]) -> tuple[str, ...]:
    """Of how many edits the graph has something to say, where methods take from it and it knows not all."""
    using = [label for label, method in methods.items() if method.uses_graph]
    rewrites = [rewrite for case in cases for rewrite in case.rewrites] if using else []
    resolver, asked = editor.resolver, rewrites[:_LOOKED_UP]
    known = sum(_in_graph(resolver, rewrite) for rewrite in asked)
    if known == len(asked):
        return ()
    of = f"the first {len(asked)} of {len(rewrites)}" if len(asked) < len(rewrites) else str(len(asked))
    return (
        f"the graph {editor.graph.name!r} has subject and relation of {known} of {of} edits; about the others it "
        f"tells {', '.join(using)} nothing (--graph names another graph)",
    )


def _in_graph(resolver: Resolver, rewrite: Rewrite) -> bool:
    try:
        resolved = resolver.resolve_worded(
            rewrite.edit, subject_id=rewrite.subject_id, target_id=rewrite.target_new_id
        )
    except (EditError, KnowledgeGraphError):
        return False
    return resolved.centre is not None


def _malformed(loaded: Loaded) -> Iterator[LeftOut]:
    for item in loaded.skipped:
        yield LeftOut(case=f"{item.source}#{item.index}", method=None, reason=MALFORMED, detail=str(item))
