"""The manifest of a run: all that its numbers depend on, to repeat it, and to refuse to resume with other settings."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
import transformers
from pydantic import JsonValue
from transformers import PreTrainedTokenizerBase

from kgedit import __version__
from kgedit.delta import model_hash
from kgedit.editor import Editor
from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options
from kgedit.evaluate.benchmarks.reading import Loaded
from kgedit.evaluate.results import PASTED, UNEDITED, Frozen
from kgedit.evaluate.run.ability import questions_hash, read_questions
from kgedit.evaluate.run.more import ids_hash
from kgedit.evaluate.run.sequence import asked_together
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.lm.device import repeatable
from kgedit.methods.base import Method

# Cases whose edits share one optimisation batch; part of the manifest, since sums in floating point depend on it.
CHUNK = 8


class DataPart(Frozen):
    """The data: base name, hash of the bytes, and how many records were read and skipped."""

    source: str
    sha256: str
    format: str
    records: int
    skipped: int


class CasesPart(Frozen):
    """The cases that are run, in order; `sha256` is over their ids."""

    limit: int | None
    recalled_only: bool
    number: int
    sha256: str


class ModelPart(Frozen):
    """The unedited model; `weights` and `tokenizer` are hashes, `repeatable` says what its device promises."""

    name: str
    weights: str
    tokenizer: str
    dtype: str
    device: str
    repeatable: str


class ScoringPart(Frozen):
    """What is scored beyond the standard measures; `prompts`, `snippets`, `chat_template` are hashes."""

    styles: tuple[str, ...]
    prompts: str
    match: str
    protocol: str
    chat_template: str | None
    generate: bool
    snippets: str | None
    zsre_target: str | None = None


class SequencePart(Frozen):
    """Lengths of a sequence of edits, how many cases of each are asked everything, and how many in shared batches.

    `ability` is the hash of own questions of general ability, where there are any.
    """

    lengths: tuple[int, ...]
    asked_at_most: int
    asked_together: int
    ability: str | None = None


class ChatPart(Frozen):
    """The chat form in which edits are optimised; `template` is a hash."""

    system: str | None
    template: str | None


class RunManifest(Frozen):
    """All that the numbers of a run depend on. It names no path, so that it is the same on another machine.

    Attributes:
        suite: Name of the benchmark.
        data: The records.
        cases: Which of them are run.
        model: The unedited model.
        graph: Name of the knowledge graph.
        moments: "auto", "identity", or the name of a folder.
        methods: "unedited", "pasted" where it was asked for, and the label of each method.
        settings: Label -> the method's full settings, and `identity_at`, the layers at which the identity stands in
            for second moments that were not collected.
        mode: Which edits the model carries while a case is scored; see `run.modes`.
        together: Cases whose edits the model carries together; in a sequence those that are edited together.
        chunk: Cases whose edits share one optimisation batch.
        seed: Seed of everything drawn.
        scoring: Options of scoring.
        versions: Versions of the packages that compute the numbers.
        sequence: The lengths, where there are any.
        chat: System prompt and hash of the template, where edits are made in chat form, too.
    """

    suite: str
    data: DataPart
    cases: CasesPart
    model: ModelPart
    graph: str
    moments: str
    methods: tuple[str, ...]
    settings: dict[str, dict[str, JsonValue]]
    mode: str
    together: int
    chunk: int
    seed: int
    scoring: ScoringPart
    versions: dict[str, str]
    sequence: SequencePart | None = None
    chat: ChatPart | None = None


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of everything that decides which tokens a text becomes."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _chat_template_hash(tokenizer: PreTrainedTokenizerBase, system: str | None = None) -> str | None:
    """Of the template by which questions are put as a chat, and of a system prompt; None for base models."""
    template = getattr(tokenizer, "chat_template", None)
    told = template if system is None else [template, system]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest() if template else None


def versions() -> dict[str, str]:
    """Of what computes the numbers."""
    return {
        "kgedit": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def _settings(method: Method, uncollected: Collection[int]) -> dict[str, JsonValue]:
    """All that tells a method's edits from those of another; statistics that are collected later do, too."""
    layers = [layer for layer in method.moment_layers if layer in uncollected]
    return method.config.model_dump(mode="json") | ({"identity_at": layers} if layers else {})


def make_manifest(
    settings: EvaluationSettings,
    options: Options,
    loaded: Loaded,
    editor: Editor,
    methods: Mapping[str, Method],
    uncollected: Collection[int],
    cases: Sequence[BenchmarkCase],
) -> RunManifest:
    """The manifest of a run.

    Args:
        settings: What was asked for.
        options: What is scored beyond the standard measures.
        loaded: The data.
        editor: An editor of the unedited model.
        methods: Label -> the method.
        uncollected: Layers without second moments.
        cases: The cases, in order.
    """
    model = editor.model
    pasted = PASTED in settings.columns and any(case.rewrites for case in cases)
    return RunManifest(
        suite=settings.suite,
        data=DataPart(
            source=Path(loaded.source).name,
            sha256=loaded.sha256,
            format=loaded.format,
            records=len(loaded.records),
            skipped=len(loaded.skipped),
        ),
        cases=CasesPart(
            limit=settings.most_cases,
            recalled_only=settings.recalled_only,
            number=len(cases),
            sha256=ids_hash([case.id for case in cases]),
        ),
        model=ModelPart(
            name=Path(settings.model).name if Path(settings.model).is_dir() else settings.model,
            weights=model_hash(model),
            tokenizer=tokenizer_hash(editor.tokenizer),
            dtype=str(model.dtype),
            device=model.device.type,
            repeatable=repeatable(model.device),
        ),
        graph=editor.graph.name,
        moments=settings.moments.name if isinstance(settings.moments, Path) else settings.moments,
        methods=(UNEDITED, *([PASTED] if pasted else []), *methods),
        settings={label: _settings(method, uncollected) for label, method in methods.items()},
        mode=settings.mode,
        together=settings.batch_edits or 1,
        chunk=CHUNK,
        seed=settings.seed,
        scoring=ScoringPart(
            styles=options.styles,
            prompts=hashlib.sha256(repr(options.prompts).encode()).hexdigest(),
            match=options.match,
            protocol=settings.protocol,
            # A system prompt that edits are made with is in `chat`.
            chat_template=_chat_template_hash(editor.tokenizer, None if editor.chat else settings.system)
            if settings.protocol == "free"
            else None,
            generate=options.generate,
            snippets=hashlib.sha256(options.snippets.to_json().encode()).hexdigest() if options.snippets else None,
            zsre_target=options.zsre_target if settings.suite == "zsre" else None,
        ),
        versions=versions(),
        sequence=SequencePart(
            lengths=settings.sequence,
            asked_at_most=settings.asked_at_most,
            asked_together=asked_together(model.device.type),
            ability=questions_hash(read_questions(settings.ability)) if settings.ability else None,
        )
        if settings.sequence
        else None,
        chat=ChatPart(system=editor.chat.system, template=_chat_template_hash(editor.tokenizer))
        if editor.chat
        else None,
    )
