"""The editor: a model, a graph and a method, and the way of a fact change through them.

Edit --> subgraph --> encode --> value --> write --> check --> keep
what      what else    as the     m*, k*    low-rank   did it   stack, undo,
changes   must hold    LLM sees             delta      take?    adapter, files
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.bundled import bundled_store
from kg_cache.graph import KnowledgeGraph
from kg_cache.settings import Settings
from kg_cache.store import Store
from kgedit.delta import Delta, DeltaStack
from kgedit.delta.gguf.lora import export_gguf_lora
from kgedit.delta.low_rank import as_low_rank
from kgedit.delta.turns import TakesTurns, in_turn
from kgedit.delta.vocabulary import check_vocabulary
from kgedit.edit import Edit, EditResult, LoadedEdits
from kgedit.errors import TargetError, UnknownEdit, UnknownMethod
from kgedit.graph.other_names import other_names
from kgedit.graph.passages import fact_passages
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.base_name import public_name
from kgedit.lm.chat import ChatForm
from kgedit.lm.generation.greedy import complete
from kgedit.lm.generation.ranking import top_answers
from kgedit.lm.load import load_model
from kgedit.lm.memory import peak_memory
from kgedit.lm.prefixes import PrefixPlan, sample_prefixes
from kgedit.lm.scoring.name_probability import name_probabilities
from kgedit.lm.second_moment.find import MomentSource
from kgedit.lm.second_moment.shelf import MomentShelf
from kgedit.lm.tokens import encode_target
from kgedit.methods.base import Case, Computed, Method, Request, Workbench, requests_in
from kgedit.methods.before_loading import check_before_loading
from kgedit.methods.computing import compute_each, compute_together
from kgedit.methods.registry import load_method, method_for, parse_variant
from kgedit.methods.settings import MethodSettings
from kgedit.mini import MINI
from kgedit.mini.corpus import bundled_sentences
from kgedit.progress import Progress
from kgedit.resolve import Resolver
from kgedit.text.answer import leading_name, shown


class Editor(TakesTurns):
    """Edits facts of one model; every edit can be previewed, reverted exactly, saved and exported.

    Threads may share an editor: its methods run one after another, an answer is the model's between two edits, and the
    block of `preview`, `trial` or `turn` keeps others out, so it must not wait for them. What raises, by Ctrl-C too,
    leaves weights, flags, hooks and history as they were.

    Attributes:
        model: The model; its weights carry the applied edits.
        tokenizer: Its fast tokenizer.
        graph: Where the facts around an edit come from.
        moments: The second moments that its edits use.
        chat: The form in which edits are optimised as a chat, too; may be set at any time.
        known_facts: What methods that rehearse (`Method.rehearses`) may rehearse; may be set at any time.
        history: Id -> the result of each applied edit, in order; of a loaded delta what its manifest tells.
    """

    history: dict[str, EditResult | LoadedEdits]
    chat: ChatForm | None = None
    known_facts: Sequence[Request] = ()

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        graph: KnowledgeGraph,
        method: Method | None,
        *,
        moments: MomentSource = "auto",
        texts: Callable[[], Sequence[str]] | None = None,
        prefixes: Sequence[str] | None = None,
        seed: int = 0,
        name: str = "",
        notes: tuple[str, ...] = (),
        progress: Progress | None = None,
    ) -> None:
        """Put the parts together; `from_pretrained` finds them by name.

        Args:
            model: A causal language model of a known family, unedited.
            tokenizer: Its fast tokenizer.
            graph: The knowledge graph.
            method: The editing method; None where nothing is to be edited, only asked, resolved or loaded.
            moments: See `second_moment.find.find_moments`.
            texts: Sentences to collect second moments from, if they are missing.
            prefixes: Context prefixes, the first empty; by default sampled as the method's settings say.
            seed: Seed of whatever is drawn.
            name: Name of the model, as it was given; manifests say `lm.base_name.public_name`.
            notes: What users should be told with each edit.
            progress: Called with (what, done, total) during longer work.

        Raises:
            UnsupportedModel: The model's family or a layer of it cannot be edited.
        """
        anatomy_of(model)
        super().__init__(DeltaStack(model))
        self.model, self.tokenizer, self.graph = model, tokenizer, graph
        self.text, self.seed, self.name, self.progress = Verbalizer.bundled(), seed, name, progress
        self._method, self._notes = method, notes
        self._given_prefixes, self._prefixes = prefixes, dict[PrefixPlan | None, Sequence[str]]({None: ("",)})
        self.moments = MomentShelf(
            model, tokenizer, moments, Settings().cache_dir, texts=texts, progress=progress,
            facts=lambda: fact_passages(graph if isinstance(graph, Store) else bundled_store(), self.text),
        )  # fmt: skip

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        method: str | None = "glame",
        config: MethodSettings | None = None,
        graph: KnowledgeGraph | str | Path | None = None,
        moments: MomentSource = "auto",
        seed: int = 0,
        device: str | None = None,
        dtype: str = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        progress: Progress | None = None,
    ) -> Editor:
        """Load everything by name.

        Args:
            model: "mini" (bundled), a fetched model ("smollm2"), a GGUF file, a folder, or a Hugging Face hub id.
            method: A name of `kgedit models`, settings behind it as in `methods.registry`; None to edit nothing.
            config: The method's settings; by default the preset for the model.
            graph: A graph, or a store file; by default the bundled snapshot.
            moments: Second moments: "auto" (what was collected, else the identity), "collect" (what was collected,
                else from the graph's facts), "identity", or a folder that `kgedit moments` wrote.
            seed: Seed of whatever is drawn.
            device: Torch device.
            dtype: Precision of the weights, "auto" the stored one; what is optimised and solved is float32 or wider.
            revision: Revision on the hub.
            trust_remote_code: See `lm.load.load_model`.
            progress: Called with (what, done, total) during longer work.
        """
        if method is not None:
            check_before_loading(model, method, config=config, moments=moments)
        loaded, tokenizer = load_model(
            model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code,
            progress=progress,
        )  # fmt: skip
        chosen: Method | None = None
        notes: tuple[str, ...] = ()
        if method is not None and config is not None:
            chosen = load_method(parse_variant(method)[0])(config)
        elif method is not None:
            chosen, notes = method_for(model, method, anatomy_of(loaded).n_layers(loaded))
        if graph is None:
            graph = bundled_store()
        elif isinstance(graph, str | Path):
            graph = Store.open(graph, read_only=True)
        return cls(
            loaded,
            tokenizer,
            graph,
            chosen,
            moments=moments,
            texts=bundled_sentences if model == MINI else None,
            seed=seed,
            name=model,
            notes=notes,
            progress=progress,
        )

    @property
    def method(self) -> Method:
        """What computes the edits. Another one may be set at any time; the applied edits stay.

        Raises:
            UnknownMethod: The editor was made without one.
        """
        if self._method is None:
            raise UnknownMethod("this editor has no method, so it cannot edit; set `editor.method` to one first")
        return self._method

    @method.setter
    def method(self, method: Method) -> None:
        self._method = method
        self._notes = ()  # they are about the settings of the former one

    @property
    def subgraph_options(self) -> dict[str, Any]:
        """Options of `build_subgraph`: the method's own; the defaults where there is no method."""
        return self._method.subgraph_options if self._method else {}

    @property
    def resolver(self) -> Resolver:
        """Resolves names against the graph, without any model."""
        return Resolver(self.graph, self.text)

    @in_turn
    def apply(self, edit: Edit) -> EditResult:
        """Edit the model; the edit stays until it is reverted.

        Raises:
            EditError: The request cannot be carried out; model and history are as before.
            KnowledgeGraphError: The graph does not know a name, or cannot answer.
        """
        started, peak = time.monotonic(), peak_memory(self.model.device)
        resolved = (resolver := self.resolver).resolve(edit)
        request, subgraph = resolved.request, resolver.subgraph(resolved, self.method.subgraph_options)
        before = self._answer(request)
        if before[0] == request.target:
            raise TargetError(f"{request.question!r} already gives {before[0]!r}: there is nothing to change")
        (computed,) = self.compute([request], [subgraph])
        delta = computed.delta.noting(
            model=public_name(self.model, self.name), edit=edit.model_dump(), graph_source=self.graph.name
        )
        weights = delta.norms(self.model)
        self._stack.apply(delta)
        after = self._answer(request)
        result = EditResult(
            id=delta.id,
            edit=edit,
            subject=request.subject,
            target_new=request.target,
            method=self.method.name,
            before=before[0],
            after=after[0],
            probability_before=before[1],
            probability_after=after[1],
            weights=weights,
            edges=len(subgraph.triples) if subgraph and self.method.uses_graph else 0,
            aliases=other_names(self.graph, resolved.target_id),
            notes=(*self._notes, *self.moments.notes, *resolved.notes, *computed.notes),
            seconds=time.monotonic() - started,
            peak_memory=peak(),
        )
        self.history[delta.id] = result
        return result

    @contextmanager
    def preview(self, edit: Edit) -> Iterator[Editor]:
        """The edited model for the length of a `with` block; afterwards the weights are bit for bit as before."""
        with self.taken_back(lambda: self.apply(edit).id, self.revert):
            yield self

    @contextmanager
    def trial(self, *deltas: Delta) -> Iterator[None]:
        """Computed deltas, in their order, on top of the applied ones for the length of a `with` block.

        Raises:
            AlreadyApplied, WrongBase, WeightsChanged, UnsupportedModel, EditDiverged: See `DeltaStack.apply`.
        """
        with self.turn(), self._stack.trial([*self._stack.deltas, *map(self._stack.accepted, deltas)]):
            yield

    @in_turn
    def revert(self, id: str) -> None:
        """Revert one edit, whichever it is; the others stay, as if it had never been.

        Raises:
            UnknownEdit: No applied edit has this id.
        """
        self._stack.revert(id)
        self.history.pop(id, None)

    @in_turn
    def compute(self, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None]) -> list[Computed]:
        """The deltas of several edits, each on its own on the model as it is; nothing is written.

        Requests and subgraphs are those of `prepare`, or made by hand; None where there is no subgraph.
        """
        return compute_each(self.method, self.workbench, requests, subgraphs)

    @in_turn
    def compute_cases(self, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case, making all its edits together on the model as it is; nothing is written.

        Args:
            cases: Each a sequence of what `prepare` returns.
        """
        return compute_together(self.method, self.workbench, cases)

    def prepare(self, edit: Edit) -> tuple[Request, Subgraph | None]:
        """Resolve names against the graph and collect the subgraph, without any model.

        Raises:
            UnknownEntity, AmbiguousLabel, UnknownRelation: A name means nothing, or several things.
            EditError: Subject and prompt, or target, do not fit together.
        """
        resolved = (resolver := self.resolver).resolve(edit)
        return resolved.request, resolver.subgraph(resolved, self.subgraph_options)

    @in_turn
    def complete(self, prompt: str, *, max_new_tokens: int = 16, names: Sequence[str] = ()) -> str:
        """Greedy continuation of a prompt, to the end of the sentence.

        Args:
            prompt: A text.
            max_new_tokens: The most tokens.
            names: Names that the answer may begin with; a full stop in one of them does not end it.
        """
        (line,) = complete(self.model, self.tokenizer, [prompt], max_new_tokens=max_new_tokens, stop=("\n",))
        return shown(line, names)

    @in_turn
    def ask(self, prompt: str, k: int = 5) -> list[tuple[str, float]]:
        """The k most probable answers with their probabilities."""
        return top_answers(self.model, self.tokenizer, prompt, k, stop=("\n",), answer_of=self._name_in)

    def _name_in(self, text: str) -> str:
        """The name that an answer begins with, as far as the graph or an applied edit knows it."""
        targets = {target for entry in self.history.values() for target in entry.targets}
        graph = self.graph if isinstance(self.graph, Store) else None  # a live graph would be asked too often

        def is_name(text: str) -> bool:
            return text in targets or (graph is not None and any(name.text == text for name in graph.names(text)))

        return leading_name(text, is_name)

    @in_turn
    def save(self, directory: str | Path) -> Path:
        """Write all applied edits as one delta; all or nothing.

        Raises:
            UnknownEdit: There is no edit to save.
            UnsupportedExport: They are of several kinds that cannot become one delta.
            SaveFailed: Disk full, read-only folder and the like.
        """
        return self._composed().save(directory)

    @in_turn
    def load_delta(self, directory: str | Path) -> str:
        """Apply a saved delta; its id is the handle for `revert`, and `history` lists the edits that it makes.

        Raises:
            WrongBase: It was made for other weights, or with another vocabulary.
            FileCorrupt: It is damaged.
        """
        delta = Delta.load(directory)
        check_vocabulary(delta, self.tokenizer)
        self._stack.apply(delta)
        self.history[delta.id] = LoadedEdits.from_manifest(delta.id, delta.manifest)
        return delta.id

    @in_turn
    def export_adapter(self, directory: str | Path) -> Path:
        """Write all applied edits as a PEFT LoRA adapter for the unedited model, exactly.

        Raises:
            UnknownEdit: There is no edit to export.
            UnsupportedExport: They cannot be written as an adapter.
            SaveFailed: Disk full, read-only folder and the like.
        """
        return self._composed().export(self.model, directory)

    @in_turn
    def export_gguf(self, path: str | Path) -> Path:
        """Write all applied edits as a GGUF LoRA adapter, which llama.cpp and Ollama load on the unedited model."""
        return export_gguf_lora(as_low_rank(self._composed()), self.model, path)

    @property
    @in_turn
    def workbench(self) -> Workbench:
        """Statistics and prefixes, each read once off the unedited model, when a method first asks for it."""
        layers, ridge, plan = self.method.moment_layers, self.method.moment_ridge, self.method.prefix_plan
        to_sample = self._given_prefixes is None and plan not in self._prefixes
        if self.moments.lacks(layers) or to_sample:
            with self._stack.trial([]):
                self.moments.of(layers)
                if plan is not None and to_sample:
                    self._prefixes[plan] = sample_prefixes(self.model, self.tokenizer, plan, seed=self.seed)
        moments, prefixes = self.moments.of(layers, ridge=ridge), self._given_prefixes or self._prefixes[plan]
        earlier = requests_in(*(delta.manifest for delta in self._stack.deltas))
        parts = (self.model, self.tokenizer, moments, prefixes, self.seed, self.progress, self.chat, earlier)
        return Workbench(*parts, known_facts=self.known_facts, unedited_hash=self._stack.hash_unedited)

    def _composed(self) -> Delta:
        composed = self._stack.composed()
        if composed is None:
            raise UnknownEdit("no edit is applied, so there is nothing to write; apply one first")
        return composed

    def _answer(self, request: Request) -> tuple[str, float]:
        """Greedy answer to the edit prompt, and the probability of the whole new object there."""
        prompt, target = request.question, request.target
        (probability,) = name_probabilities(self.model, self.tokenizer, [(prompt, target)])
        length = len(encode_target(self.tokenizer, target, prompt))
        return self.complete(prompt, max_new_tokens=length + 8, names=(target,)), probability
