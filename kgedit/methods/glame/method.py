"""GLAME: ROME's write with a value m* shaped by a knowledge graph (Zhang et al., EMNLP 2024, arXiv 2402.13593).

    m* = m + z (+ delta),  z the relational encoder's vector of s, computed over the subgraph around s and o*

The published objective rewards the edited fact alone; the graph reaches m* through z. The default setting also makes
the graph part of the objective: composed prompts along its paths must give their objects (path), and the subject's
other facts must keep their distributions (keep). `GlameConfig.paper()` is the released code's behaviour.
docs/methods.md, "GLAME", "Terms from the graph" and "Writing to later layers".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch_geometric.data import Data

from kgedit.delta import LowRankDelta, WeightUpdate, compose, hash_weights
from kgedit.delta.low_rank import side_by_side
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import frozen
from kgedit.lm.represent import represent_each
from kgedit.methods.base import Case, Computed, Request, Workbench, check_cases, one_after_another, single_cases
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.objective import Objective, essence_row, keep_rows, path_rows, target_rows
from kgedit.methods.engine.value import Solution, optimise
from kgedit.methods.engine.write_layers import write_layers, write_read
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.consequences import (
    Changes,
    associated_paths,
    longer_walks,
    made,
    onward_facts,
    other_facts,
    recalled_facts,
)
from kgedit.methods.glame.encoder import Kind, RelationalEncoder
from kgedit.methods.glame.later_layers import Reaching, reaching_prompts, write_later_layers
from kgedit.methods.glame.offset import GraphOffset, OffsetBatch
from kgedit.methods.inverse import inverse_edits
from kgedit.methods.value_method import ValueMethod
from kgedit.progress import steps_of


@dataclass
class _EditWork:
    """One edit on its way through the steps.

    Attributes:
        subject: What it is about.
        subgraph: The graph around it.
        objective: What it asks of the model.
        reaching: Prompts that reach it from elsewhere.
        inverse_of: Number of the edit of its case that it tells from the object's side; None for an edit.
        solution: What the optimisation gave; set by it.
        updates: What is written, where the optimisation's batch has read all that it takes.
    """

    subject: str
    subgraph: Subgraph | None
    objective: Objective
    reaching: Reaching
    inverse_of: int | None = None
    solution: Solution = field(init=False)
    updates: tuple[WeightUpdate, ...] = ()

    def log(self) -> dict[str, Any]:
        """Numbers of the optimisation."""
        kinds = [row.kind for row in self.objective.rows]
        return {
            "losses": self.solution.losses,
            "parts": self.solution.parts,
            "wordings": kinds.count("wording"),
            "paths": kinds.count("path"),
            "kept_facts": kinds.count("keep"),
            "multihop_prompts": sum(map(len, self.reaching.ends)),
        }


class Glame(ValueMethod):
    """The method; see the module's docstring."""

    name = "glame"
    summary = "ROME's write with a value shaped by the knowledge graph around the edit (Zhang et al., 2024)."
    kind = "closed form"
    needs = "second moments, graph"
    uses_graph = True
    Config = GlameConfig
    config: GlameConfig

    def __init__(self, config: GlameConfig, text: Verbalizer | None = None) -> None:
        """Take the hyper-parameters, and the wordings that paths and other facts are put in."""
        super().__init__(config)
        self.text = text or Verbalizer.bundled()
        self._carried: RelationalEncoder | None = None  # with `carry_rgnn`: the encoder of the edits so far
        self._fresh: tuple[Any, RelationalEncoder] | None = None  # one that nothing has trained, and what it is for

    @property
    def moment_layers(self) -> tuple[int, ...]:
        """The edit layers, the later ones among them."""
        return tuple(sorted({*self.config.layers, *self.later_layers}))

    @property
    def later_layers(self) -> tuple[int, ...]:
        """As its settings say; behind a gate none, as a gate is shut in prompts that do not name the subject."""
        return () if self.config.gate is not None else self.config.later_layers

    @property
    def writes_jointly(self) -> bool:
        """With the keys of all contexts."""
        return self.config.key == "contexts"

    @property
    def remembers(self) -> bool:
        """With an encoder that goes on from edit to edit."""
        return self.config.carry_rgnn

    @property
    def subgraph_options(self) -> dict[str, Any]:
        """How the subgraphs it is handed should be built."""
        config = self.config
        options = {"order": config.order, "max_edges": config.max_edges, "edge_choice": config.edge_choice}
        if not self.later_layers:
            return options
        walks = {"incoming_hops": config.later_hops, "incoming_relations": frozenset(self.text.texts)}
        return options | walks | {"siblings": config.later_siblings}

    @property
    def writes_inverses(self) -> bool:
        """Whether it is asked to, can write two values at once, and may act at other subjects than the edit's."""
        return self.config.inverse and self.config.key == "contexts" and self.config.gate is None

    def without_later_layers(self) -> Self:
        """The method without its write to later layers."""
        return type(self)(self.config.model_copy(update={"later_layers": ()}), self.text)

    def longer(self, factor: int) -> Self:
        """The method with `factor` times the steps."""
        return type(self)(self.config.longer(factor), self.text)

    def compute(
        self, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None] = ()
    ) -> list[Computed]:
        """One delta per request; the optimisation of all requests shares one batch."""
        return self._joint(bench, single_cases(requests, subgraphs))

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case: what one edit changes counts in the graphs of the others, and one write serves all.

        The published arithmetic knows single edits only: with it they are made one after another.
        """
        check_cases(cases)
        return self._joint(bench, cases) if self.config.key == "contexts" else one_after_another(self, bench, cases)

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def _joint(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case, in four steps; only the last is made case by case."""
        if not cases:
            return []
        with frozen(bench.model):
            work = [self._asked(bench, case) for case in cases]
            self._optimise(bench, [edit for case in work for edit in case])
            deltas = self._write(bench, work)
        ends: list[Sequence[int]] = [()] * len(work)
        if self.later_layers:
            for number, (delta, case) in enumerate(zip(deltas, work, strict=True)):
                if bench.progress:
                    bench.progress("writing later layers", number, len(work))
                deltas[number], ends[number] = self._with_later_layers(bench, delta, case)
        return [self._computed(bench, *of_case) for of_case in zip(deltas, work, ends, strict=True)]

    def _asked(self, bench: Workbench, case: Case) -> list[_EditWork]:
        """Step 1: what each edit of a case asks of the model, and what reaches it, with the others' changes made."""
        config, text, model, tokenizer = self.config, self.text, bench.model, bench.tokenizer
        inverses = inverse_edits(case, text) if self.writes_inverses else []
        changes = made([*case, *((inverse.request, None) for inverse in inverses)])
        # A single edit's paths need no more than its own subgraph.
        walking = bool(self.later_layers) or (bool(config.path_weight) and len(case) > 1)
        onward = onward_facts(model, tokenizer, case, text) if walking else {}
        work = []
        for request, subgraph in case:
            further = longer_walks(request, onward, changes, text) if config.path_weight else []
            objective = self._objective(bench, request, subgraph, changes, self._other_wordings(request), further)
            reaching = Reaching()
            if self.later_layers:
                limits = {"most": config.later_walks, "siblings": config.later_siblings}
                reaching = reaching_prompts(model, tokenizer, request, subgraph, onward, changes, text, **limits)
            work.append(_EditWork(request.subject, subgraph, objective, reaching))
        # The new object's side of each fact is a value of its own, at the object's last token.
        for inverse in inverses:
            objective = self._objective(bench, inverse.request, inverse.subgraph, changes, [inverse.question])
            work.append(_EditWork(inverse.request.subject, inverse.subgraph, objective, Reaching(), inverse.edit))
        return work

    def _optimise(self, bench: Workbench, edits: Sequence[_EditWork]) -> None:
        """Step 2: m* of every edit, all in one batch; one by one where each goes on with the encoder of the last."""
        if self.config.carry_rgnn and len(edits) > 1:
            for edit in edits:
                self._optimise(bench, [edit])
            return
        config = self.config
        batch = EditBatch(bench.model, anatomy_of(bench.model), [edit.objective for edit in edits], config.layers)
        offsets = []
        for graph, row in zip(self._graphs(bench, edits, batch.device), batch.first_rows, strict=True):
            base = torch.stack([batch.values[layer][row] for layer in config.layers])  # (layers, d)
            offsets.append(GraphOffset(config, base, self._encoder(bench, base) if graph else None, graph))
        solutions = optimise(
            batch,
            offsets,
            steps=config.steps,
            stop_loss=config.stop_loss,
            extra_steps=config.extra_steps,
            hard_loss=config.hard_loss,
            keep=config.choice,
            # Encoders run one by one on a CPU, where copies of their weights would take longer than beginning kernels.
            together=OffsetBatch(offsets) if batch.device.type == "cuda" else None,
            progress=steps_of(bench.progress, "optimise"),
        )
        for edit, solution in zip(edits, solutions, strict=True):
            # Contexts that the write is not solved for get a smaller share of it: it is written longer.
            solution.offset = config.written_length * solution.offset  # (layers, d)
            edit.solution = solution
        # The published arithmetic on one layer needs nothing that the batch has not read.
        if config.key != "contexts" and len(config.layers) == 1:
            (layer,), found = config.layers, [solution.offset for solution in solutions]
            written = write_read(batch, found, layer, bench.moments[layer], key=config.key)
            for edit, updates in zip(edits, written, strict=True):
                edit.updates = updates

    def _write(self, bench: Workbench, work: Sequence[Sequence[_EditWork]]) -> list[LowRankDelta]:
        """Step 3: the closed form (ROME, eq. 2), one solve per case and layer for all its edits."""
        config, anatomy = self.config, anatomy_of(bench.model)
        base = hash_weights(bench.model, [anatomy.weight_name(layer) for layer in config.layers])
        if all(edit.updates for case in work for edit in case):
            return [LowRankDelta(edit.updates, base) for case in work for edit in case]
        together = [self._solved_together(case) for case in work]  # of each case, numbers of its edits
        groups = [
            [(case[number].objective, case[number].solution.offset) for number in numbers]
            for case, parts in zip(work, together, strict=True)
            for numbers in parts
        ]
        written = iter(
            write_layers(
                bench.model, anatomy, groups, config.layers, bench.moments, key=config.key, ridge=config.ridge
            )
        )
        return [LowRankDelta(side_by_side([next(written) for _ in parts], parts), base) for parts in together]

    def _solved_together(self, case: Sequence[_EditWork]) -> list[list[int]]:
        """Numbers of the edits that one solve holds at each other's keys.

        All of a case; but behind gates only those of one subject. A gate lets an edit's own column through and not the
        sum of all, and of many edits in one solve the own column makes only a part of what was asked.
        """
        if self.config.gate is None:
            return [list(range(len(case)))]
        alike: dict[str, list[int]] = {}
        for number, edit in enumerate(case):
            alike.setdefault(edit.subject, []).append(number)
        return list(alike.values())

    def _with_later_layers(
        self, bench: Workbench, delta: LowRankDelta, case: Sequence[_EditWork]
    ) -> tuple[LowRankDelta, Sequence[int]]:
        """Step 4: the delta with a write to later layers, made while it is applied, and the edit of each end."""
        objectives, reaching = [edit.objective for edit in case], [edit.reaching for edit in case]
        with delta.apply(bench.model, check=False):
            updates, ends = write_later_layers(bench, self.config, objectives, reaching)
        if not updates:
            return delta, ()
        # The base is all matrices that are written now, and is read from them as they were.
        base = hash_weights(bench.model, {update.name: None for update in (*delta.updates, *updates)})
        return compose(delta, LowRankDelta(updates, ""), base_hash=base), ends

    def _computed(
        self, bench: Workbench, delta: LowRankDelta, case: Sequence[_EditWork], ends: Sequence[int]
    ) -> Computed:
        """The delta of one case with all that is to be known about it."""
        edits = [edit for edit in case if edit.inverse_of is None]
        logs = [edit.log() for edit in edits]
        log: dict[str, Any] = logs[0] if len(logs) == 1 else {"edits": logs}
        entries = [
            {"graph": edit.subgraph.manifest() if edit.subgraph else None, **entry}
            for edit, entry in zip(edits, logs, strict=True)
        ]
        inverses = [{"edit": edit.inverse_of, **edit.log()} for edit in case if edit.inverse_of is not None]
        log = log | ({"inverses": inverses} if inverses else {})
        settings = {"method": self.name, "settings": self.config.model_dump(mode="json"), "seed": bench.seed}
        manifest = settings | (entries[0] if len(entries) == 1 else {"edits": entries})
        manifest |= {"inverses": inverses} if inverses else {}
        notes = dict.fromkeys(note for edit in edits for note in _notes(edit.subgraph))
        notes |= dict.fromkeys(self.config.notes)
        # Columns of the edits and their inverses, then those of the ends, each on its own layers.
        anatomy, owners = anatomy_of(bench.model), defaultdict[str, list[int]](list)
        of_edit = [number if edit.inverse_of is None else edit.inverse_of for number, edit in enumerate(case)]
        for layers, own in ((self.config.layers, of_edit), (self.later_layers if ends else (), ends)):
            for layer in layers:
                owners[anatomy.weight_name(layer)] += own
        return Computed(replace(delta, manifest=manifest), tuple(notes), log, dict(owners))

    def _objective(
        self,
        bench: Workbench,
        request: Request,
        subgraph: Subgraph | None,
        changes: Changes,
        wordings: Sequence[str],
        further: Sequence[tuple[str, str]] = (),
    ) -> Objective:
        config, tokenizer, subject = self.config, bench.tokenizer, request.subject
        limit = context_length(bench.model)
        target = bench.learned(request, config.ending)
        # L_p: the edit prompt behind each prefix.
        chat = bench.chat_templates(request)
        rows = target_rows(tokenizer, request.prompt, subject, target, bench.prefixes, chat=chat, max_length=limit)
        # L_word: the edit in other wordings of its relation, which needs no graph.
        if wordings and config.wording_weight:
            asked = [(wording, target) for wording in wordings]
            rows += path_rows(tokenizer, subject, asked, config.wording_weight, kind="wording", max_length=limit)
        # L_path: what follows from the edit, and walks over other edits of the case.
        if subgraph is not None and config.path_weight:
            prompts = associated_paths(bench.model, tokenizer, subgraph, self.text, changes)
            prompts += list(further)
            paths = [(prompt, label + config.ending) for prompt, label in prompts]
            rows += path_rows(tokenizer, subject, paths, config.path_weight, max_length=limit)
        # L_keep: the subject's other facts.
        if subgraph is not None and config.keep_weight:
            facts = (
                recalled_facts(bench.model, tokenizer, subgraph, self.text, changes)
                if config.keep_recalled
                else other_facts(subgraph, self.text, changes)
            )
            rows += keep_rows(tokenizer, subject, facts, config.keep_weight, max_length=limit)
        # L_KL: what "{s} is a" goes on with.
        rows.append(essence_row(tokenizer, subject, config.kl_weight))
        # What stays is to stay under all that is written.
        return Objective(tuple(row if row.targets else replace(row, length=config.written_length) for row in rows))

    def _other_wordings(self, request: Request) -> list[str]:
        """Further templates that ask for the edited fact."""
        if request.relation is None or request.relation not in self.text:
            return []
        return [wording for wording in self.text.edit_wordings((request.relation,)) if wording != request.prompt]

    def _graphs(self, bench: Workbench, edits: Sequence[_EditWork], device: torch.device) -> list[Data | None]:
        """Each edit's subgraph as its encoder reads it; None where there is none."""
        config = self.config
        graphs = [None if config.encoder == "none" else edit.subgraph for edit in edits]
        # Early-layer vectors of all labels of a subgraph, entities first.
        texts = [[*graph.node_labels, *graph.relation_labels] if graph else [] for graph in graphs]
        read = represent_each(bench.model, bench.tokenizer, texts, config.repr_layer, pooling=config.pooling)
        return [
            graph.to_pyg(*vectors.to(device).tensor_split([len(graph.nodes)])) if graph else None
            for graph, vectors in zip(graphs, read, strict=True)
        ]

    def _encoder(self, bench: Workbench, base: Tensor) -> RelationalEncoder:
        """A fresh encoder; with `carry_rgnn` the one that the edits before have trained."""
        config, kind = self.config, cast(Kind, self.config.encoder)
        fits = (base.shape[-1], base.device, kind, bench.seed)
        if self._carried is not None:
            return self._carried
        if self._fresh is None or self._fresh[0] != fits:
            encoder = RelationalEncoder(
                base.shape[-1],
                layers=config.order,
                kind=kind,
                aggregation=config.aggregation,
                dropout=config.dropout,
                self_loops=config.self_loops,
                dropout_last=config.dropout_last,
                seed=bench.seed,
            )
            self._fresh = (fits, encoder.to(base.device))
        # All edits begin with the same weights: where a model is wide, drawing them takes longer than steps on a GPU.
        encoder = deepcopy(self._fresh[1])
        if config.carry_rgnn:
            self._carried = encoder
        return encoder


def _notes(subgraph: Subgraph | None) -> tuple[str, ...]:
    if subgraph is None:
        return ("no subgraph: subject or target is not an item of the graph, so the graph adds nothing to the value",)
    if len(subgraph.triples) == 1:
        return ("the graph knows nothing else of the new object: its subgraph is the edited fact alone",)
    return ()
