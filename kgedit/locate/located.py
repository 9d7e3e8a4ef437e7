"""Traces facts that a model recalls, or one prompt, and averages the effects of what is put back.

docs/methods.md, "Causal tracing".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from kgedit.editor import Editor
from kgedit.errors import DataError
from kgedit.evaluate.made.mined import fact_pool
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.tokens import PromptTokens, encode_prompt, encode_target, find_subject
from kgedit.lm.tracing.average import PLACES, mean_effects
from kgedit.lm.tracing.noise import noise_level
from kgedit.lm.tracing.trace import KINDS, WINDOW, Kind, Trace, trace
from kgedit.locate.neurons import WORDINGS, FactNeurons, find_neurons
from kgedit.progress import Progress, steps_of
from kgedit.text.template import fill

LAST_SUBJECT = PLACES[2]
_NAMES = 1000  # subjects whose embeddings the size of the noise is read off


class TracingSettings(BaseModel):
    """How prompts are traced.

    Attributes:
        facts: Number of recalled facts; not used for a prompt given by hand.
        samples: Noisy runs of a prompt.
        window: Layers whose MLPs (or attentions) are put back together; by default the published 10, or a third of
            the depth where that is less.
        kinds: What is put back.
        severed: Whether the parts are cut off in turn as well.
        neurons: Whether the neurons of each answer are found as well.
        seed: Of the facts and of the noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    facts: int = 20
    samples: int = 4
    window: int | None = None
    kinds: tuple[Kind, ...] = KINDS
    severed: bool = True
    neurons: bool = False
    seed: int = 0


class Located(BaseModel):
    """The result.

    Attributes:
        model: The model.
        settings: How it was traced.
        noise: Standard deviation of the noise.
        traces: The map of each prompt.
        effects: Kind -> place -> layer -> average indirect effect.
        severed: Part -> layer -> average effect at the subject's last token with that part cut off.
        clean: Mean probability of the answer without noise.
        corrupted: Mean probability with noise on the subject.
        peak: Kind -> layer where the effect at the subject's last token is largest.
        neurons: Those of each traced prompt, where they were asked for.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    settings: TracingSettings
    noise: float
    traces: tuple[Trace, ...]
    effects: dict[str, dict[str, tuple[float, ...]]]
    severed: dict[str, tuple[float, ...]]
    clean: float
    corrupted: float
    peak: dict[str, int]
    neurons: tuple[FactNeurons, ...] = ()


def locate_facts(editor: Editor, settings: TracingSettings, *, progress: Progress | None = None) -> Located:
    """Trace facts of the editor's graph that its model recalls.

    Args:
        editor: Editor of the unedited model; no method is needed.
        settings: See `TracingSettings`.
        progress: Called with (what, done, total).

    Raises:
        DataError: The model recalls none of the facts that it was asked.
    """
    pool = fact_pool(editor)
    facts = pool.recalled(editor.model, editor.tokenizer, settings.facts, seed=settings.seed, part="measured")
    asked = []
    for fact in facts:
        wordings = pool.text.prompts((fact.relation,))[:WORDINGS]
        prompts = tuple(encode_prompt(editor.tokenizer, wording, fact.subject_label) for wording in wordings)
        answer = encode_target(editor.tokenizer, fact.object_label, fill(wordings[0], fact.subject_label))
        # As published, a fact counts only if its object's first token is the most probable one.
        asked.append(_Asked(prompts, answer[0]))
    subjects = list(dict.fromkeys(fact.subject_label for fact in pool.facts))[:_NAMES]
    return _located(editor, asked, subjects, settings, progress)


def locate_prompt(
    editor: Editor, subject: str, prompt: str, settings: TracingSettings, *, progress: Progress | None = None
) -> Located:
    """Trace one prompt, whatever the model answers to it.

    Args:
        editor: Editor of the unedited model; no method is needed.
        subject: The subject as it stands in the prompt.
        prompt: The prompt, with the subject spelled out or "{}" in its place.
        settings: See `TracingSettings`.
        progress: Called with (what, done, total).

    Raises:
        EditError: The prompt does not name the subject, or cannot be put.
    """
    template = find_subject(prompt, subject)
    tokens = encode_prompt(editor.tokenizer, template, subject)
    subjects = [subject, *dict.fromkeys(fact.subject_label for fact in fact_pool(editor).facts)][:_NAMES]
    return _located(editor, [_Asked((tokens,), None)], subjects, settings, progress)


class _Asked(NamedTuple):
    """The prompt that is traced and other wordings of it; and the token that it must give, if any will not do."""

    wordings: tuple[PromptTokens, ...]
    answer: int | None


def _located(
    editor: Editor,
    asked: Sequence[_Asked],
    subjects: Sequence[str],
    settings: TracingSettings,
    progress: Progress | None,
) -> Located:
    noise = noise_level(editor.model, editor.tokenizer, subjects)
    if settings.window is None:
        depth = anatomy_of(editor.model).n_layers(editor.model)
        settings = settings.model_copy(update={"window": max(1, min(WINDOW, depth // 3))})
    traces: list[Trace] = []
    neurons: list[FactNeurons] = []
    for number, (wordings, answer) in enumerate(asked):
        if progress:
            progress("tracing facts", number, len(asked))
        traced = trace(
            editor.model,
            editor.tokenizer,
            wordings[0],
            noise=noise,
            samples=settings.samples,
            seed=settings.seed,
            window=settings.window or WINDOW,
            kinds=settings.kinds,
            severed=settings.severed,
            answer=answer,
            progress=steps_of(progress, "layers"),
        )
        if traced is None:
            continue
        traces.append(traced)
        if settings.neurons:
            inner = steps_of(progress, "neurons of layers")
            neurons.append(find_neurons(editor.model, editor.tokenizer, wordings, progress=inner))
    if not traces:
        raise DataError(
            f"{editor.name!r} recalls none of the facts of the graph {editor.graph.name!r} that it was asked, so "
            "there is nothing to trace; name a --subject and a --prompt, or a graph of facts that it knows (--graph)"
        )
    effects = {kind: dict(mean_effects(traces, kind)) for kind in settings.kinds}
    parts = traces[0].severed
    return Located(
        model=editor.name,
        settings=settings,
        noise=noise,
        traces=tuple(traces),
        effects={str(kind): by_place for kind, by_place in effects.items()},
        severed={part: _mean([traced.severed[part] for traced in traces]) for part in parts},
        clean=sum(traced.clean for traced in traces) / len(traces),
        corrupted=sum(traced.corrupted for traced in traces) / len(traces),
        peak={
            kind: max(range(len(values)), key=values.__getitem__)
            for kind, by_place in effects.items()
            if (values := by_place.get(LAST_SUBJECT))
        },
        neurons=tuple(neurons),
    )


def _mean(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))
