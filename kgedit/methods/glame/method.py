"""GLAME: ROME's write with a value m* shaped by a knowledge graph (Zhang et al., EMNLP 2024), and what goes beyond it.

    m* = m + z (+ delta),  z the relational encoder's vector of s, computed over the subgraph around s and o*

The published objective rewards the edited fact alone; the graph reaches m* through z. The default setting also makes
the graph part of the objective: composed prompts along its paths must give their objects (path), and the subject's
other facts must keep their distributions (keep). `GlameConfig.paper()` is the released code's behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from kgedit.delta import LowRankDelta, compose, hash_weights
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import frozen
from kgedit.lm.represent import Pooling, represent
from kgedit.methods.base import Case, Computed, Request, Settings, Workbench, check_cases, one_after_another
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.closed_form import Key
from kgedit.methods.engine.objective import Objective, essence_row, keep_rows, path_rows, target_rows
from kgedit.methods.engine.value import Solution, optimise
from kgedit.methods.engine.write_layers import write_layers
from kgedit.methods.glame.consequences import (
    Associations,
    Changes,
    associated_paths,
    longer_walks,
    made,
    onward_facts,
    other_facts,
)
from kgedit.methods.glame.encoder import RelationalEncoder
from kgedit.methods.glame.offset import GraphOffset
from kgedit.methods.glame.second_write import Arrival, arrivals, write_deep

Asked = list[tuple[Objective, list[list[Arrival]]]]  # of each edit of a case


class GlameConfig(Settings):
    """Hyper-parameters; the defaults are the clean variant, `paper()` the released code's (spec 5.4 to 5.11).

    Attributes:
        layers: Edited layers, ascending; the paper edits one.
        repr_layer: Block whose output represents entities and relations.
        pooling: How a label's tokens become one vector.
        encoder: "rgnn", or the ablations "gnn" (no relation vectors), "mlp" (no graph), "none" (no z).
        order: Hops of the subgraph, and layers of the encoder.
        max_edges: Size of the subgraph, target triple included.
        steps: Evaluations of the loss.
        first_step: Length of the first step, as a share of the mean ||m|| over the layers; later ones are at most
            twice as long.
        gate: How far the unfitted encoder's direction is followed at the start, as a share of the mean ||m||.
        dropout: Inside the encoder.
        free_offset: Train a free delta beside z.
        clamp: Bound of ||m* - m|| / ||m||, layer by layer.
        kl_weight: Weight of the "{s} is a" term (lambda).
        path_weight: Weight of the path term (alpha); 0 leaves it out.
        keep_weight: Weight of the keep term (beta); 0 leaves it out.
        stop_loss: The optimisation stops below this loss.
        extra_steps: Further evaluations for an edit whose best loss is above `hard_loss` after `steps`.
        hard_loss: See `extra_steps`.
        key: Keys that the write is solved for, see `write.closed_form`.
        ridge: Its ridge.
        deep_layers: Later layers for questions that reach the edited fact on their way, ascending; none by default.
        deep_hops: Longest walk to the subject that such questions begin with.
        deep_walks: Walks over the edited fact to each of its ends that the deep write is optimised for.
        deep_ridge: Ridge of the deep write.
        learning_rate: AdamW's, if published.
        weight_decay: AdamW's, if published.
        published: AdamW; mean aggregation with self-loops of relation 1; dropout behind the last layer; z in full
            length; clamp outside the gradient and not at the first step; the released code's final choice.
    """

    layers: tuple[int, ...] = Field(min_length=1)
    repr_layer: int = Field(ge=0)
    pooling: Pooling = "avg"
    encoder: Literal["rgnn", "gnn", "mlp", "none"] = "rgnn"
    order: int = Field(default=2, ge=1, le=4)
    max_edges: int = Field(default=20, ge=1)
    steps: int = Field(default=30, ge=1)
    first_step: float = Field(default=0.7, gt=0)
    gate: float = Field(default=0.35, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    free_offset: bool = True
    clamp: float = Field(default=4.0, gt=0)
    kl_weight: float = Field(default=0.0625, ge=0)
    path_weight: float = Field(default=1.0, ge=0)
    keep_weight: float = Field(default=1.0, ge=0)
    stop_loss: float = Field(default=0.02, ge=0)
    extra_steps: int = Field(default=0, ge=0)
    hard_loss: float = Field(default=0.5, ge=0)
    key: Key = "contexts"
    ridge: float = Field(default=0.02, ge=0)
    deep_layers: tuple[int, ...] = ()
    deep_hops: int = Field(default=2, ge=1, le=3)
    deep_walks: int = Field(default=16, ge=1)
    deep_ridge: float = Field(default=0.1, ge=0)
    learning_rate: float = Field(default=0.5, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    published: bool = False

    @model_validator(mode="after")
    def _something_to_train(self) -> GlameConfig:
        if self.encoder == "none" and not self.free_offset:
            raise ValueError('encoder="none" needs free_offset=True, else there is nothing to train')
        for name, layers in (("layers", self.layers), ("deep_layers", self.deep_layers)):
            if list(layers) != sorted(set(layers)):
                raise ValueError(f"{name} must be ascending and distinct, not {layers}")
        if self.deep_layers and self.published:
            raise ValueError("the published procedure has no deep_layers; leave them out, or published=False")
        return self

    @classmethod
    def paper(cls, **changes: Any) -> GlameConfig:
        """The released code's setting for CounterFact on gpt2-xl; pass what differs (spec 5.6 lists the others)."""
        published: dict[str, Any] = {
            "layers": (9,), "repr_layer": 5, "steps": 40, "learning_rate": 0.5, "weight_decay": 0.1, "dropout": 0.3,
            "free_offset": False, "path_weight": 0.0, "keep_weight": 0.0, "stop_loss": 0.04, "key": "original",
            "published": True,
        }  # fmt: skip
        return cls.model_validate(published | changes)


class Glame:
    """The method; see the module's docstring."""

    name = "glame"
    uses_graph = True
    Config = GlameConfig

    def __init__(self, config: GlameConfig, text: Verbalizer | None = None) -> None:
        """Take the hyper-parameters, and the wordings that paths and other facts are put in."""
        self.config, self.text = config, text or Verbalizer.bundled()

    @property
    def layers(self) -> tuple[int, ...]:
        """The edit layers, those of the deep write among them."""
        return tuple(sorted({*self.config.layers, *self.config.deep_layers}))

    @property
    def subgraph_options(self) -> dict[str, Any]:
        """How the subgraphs it is handed should be built."""
        options = {"order": self.config.order, "max_edges": self.config.max_edges}
        if not self.config.deep_layers:
            return options
        return options | {"approach_hops": self.config.deep_hops, "approach_relations": frozenset(self.text.texts)}

    def compute(
        self, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None]
    ) -> list[Computed]:
        """One delta per request; the optimisation of all requests shares one batch."""
        return self._joint(bench, [[pair] for pair in zip(requests, subgraphs, strict=True)])

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case: what one edit changes counts in the graphs of the others, and one write serves all.

        The published arithmetic knows single edits only: with it they are made one after another.
        """
        check_cases(cases)
        return self._joint(bench, cases) if self.config.key == "contexts" else one_after_another(self, bench, cases)

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def _joint(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        if not cases:
            return []
        config, model, progress = self.config, bench.model, bench.progress
        anatomy, layers = anatomy_of(model), config.layers
        with frozen(model):
            asked = [self._objectives(bench, case) for case in cases]
            objectives = [objective for case in asked for objective, _ in case]
            batch = EditBatch(model, anatomy, objectives, layers)
            subgraphs = [subgraph for case in cases for _, subgraph in case]
            offsets = [
                self._offset(bench, subgraph, torch.stack([batch.values[layer][row] for layer in layers]))
                for subgraph, row in zip(subgraphs, batch.first_rows, strict=True)
            ]
            solutions = optimise(
                batch,
                offsets,
                steps=config.steps,
                stop_loss=config.stop_loss,
                extra_steps=config.extra_steps,
                hard_loss=config.hard_loss,
                keep="published" if config.published else "best",
                progress=(lambda done, total: progress("optimise", done, total)) if progress else None,
            )
            base = hash_weights(model, [anatomy.weight_name(layer) for layer in self.layers])
            found = list(zip(objectives, solutions, subgraphs, strict=True))
            of_case = [[found.pop(0) for _ in case] for case in cases]
            written = write_layers(
                model,
                anatomy,
                [[(objective, solution.offset) for objective, solution, _ in edits] for edits in of_case],
                layers,
                bench.moments,
                key=config.key,
                ridge=config.ridge,
            )
        deltas = [LowRankDelta(updates, base) for updates in written]
        if config.deep_layers:
            deltas = self._deepened(bench, deltas, asked)
        return [
            self._computed(bench, delta, edits, [reaching for _, reaching in case])
            for delta, edits, case in zip(deltas, of_case, asked, strict=True)
        ]

    def _deepened(
        self, bench: Workbench, deltas: Sequence[LowRankDelta], asked: Sequence[Asked]
    ) -> list[LowRankDelta]:
        """The deltas with a second write each, made with the first one in force."""
        deeper = []
        for number, (delta, case) in enumerate(zip(deltas, asked, strict=True)):
            if bench.progress:
                bench.progress("deep write", number, len(deltas))
            objectives, its = zip(*case, strict=True)
            with delta.apply(bench.model, check=False):
                more = write_deep(bench, self.config, objectives, its)
            deeper.append(compose(delta, LowRankDelta(more, ""), base_hash=delta.base_hash) if more else delta)
        return deeper

    def _computed(
        self,
        bench: Workbench,
        delta: LowRankDelta,
        edits: Sequence[tuple[Objective, Solution, Subgraph | None]],
        arrived: Sequence[list[list[Arrival]]],
    ) -> Computed:
        """The delta of one case with all that is to be known about it."""
        logs, graphs, notes = [], [], dict[str, None]()
        for (objective, solution, subgraph), ends in zip(edits, arrived, strict=True):
            kinds = [row.kind for row in objective.rows]
            counts = {
                "paths": kinds.count("path"),
                "kept_facts": kinds.count("keep"),
                "arrivals": sum(len(alike) for alike in ends),
            }
            logs.append({"losses": solution.losses, "parts": solution.parts, **counts})
            graphs.append({"graph": subgraph.manifest() if subgraph else None})
            notes |= dict.fromkeys(_notes(subgraph))
        settings = {"method": self.name, "settings": self.config.model_dump(mode="json"), "seed": bench.seed}
        log: dict[str, Any] = logs[0] if len(logs) == 1 else {"edits": logs}
        each = [graph | log for graph, log in zip(graphs, logs, strict=True)]
        manifest = settings | (each[0] if len(each) == 1 else {"edits": each})
        return Computed(replace(delta, manifest=manifest), tuple(notes), log)

    def _objectives(self, bench: Workbench, case: Case) -> Asked:
        """What each edit of a case asks of the model, and what reaches it; what the others change counts in both."""
        config, text, model, tokenizer = self.config, self.text, bench.model, bench.tokenizer
        changes = made(case)
        # A single edit's paths need no more than its own subgraph.
        walking = bool(config.deep_layers) or (bool(config.path_weight) and len(case) > 1)
        onward = onward_facts(model, tokenizer, case, text) if walking else {}
        asked = []
        for request, subgraph in case:
            further = longer_walks(request, onward, changes, text) if config.path_weight else []
            objective = self._objective(bench, request, subgraph, changes, further)
            reaching: list[list[Arrival]] = []
            if config.deep_layers:
                reaching = arrivals(model, tokenizer, request, subgraph, onward, changes, text, most=config.deep_walks)
            asked.append((objective, reaching))
        return asked

    def _objective(
        self, bench: Workbench, request: Request, subgraph: Subgraph | None, changes: Changes, further: Associations
    ) -> Objective:
        config, tokenizer, subject = self.config, bench.tokenizer, request.subject
        limit = context_length(bench.model)
        target = request.target + config.ending
        rows = target_rows(tokenizer, request.prompt, subject, target, bench.prefixes, max_length=limit)
        if subgraph is not None and config.path_weight:
            found = associated_paths(bench.model, tokenizer, subgraph, self.text, changes)
            found += further
            found += [(wording, request.target) for wording in self._other_wordings(request)]
            paths = [(prompt, label + config.ending) for prompt, label in found]
            rows += path_rows(tokenizer, subject, paths, config.path_weight, max_length=limit)
        if subgraph is not None and config.keep_weight:
            facts = other_facts(subgraph, self.text, changes)
            rows += keep_rows(tokenizer, subject, facts, config.keep_weight, max_length=limit)
        return Objective((*rows, essence_row(tokenizer, subject, config.kl_weight)))

    def _other_wordings(self, request: Request) -> list[str]:
        """What else the edited fact is asked by."""
        if request.relation is None or request.relation not in self.text:
            return []
        return [wording for wording in self.text.edit_wordings((request.relation,)) if wording != request.prompt]

    def _offset(self, bench: Workbench, subgraph: Subgraph | None, base: Tensor) -> GraphOffset:
        config = self.config
        if subgraph is None or config.encoder == "none":
            free = config.model_copy(update={"free_offset": True})
            return GraphOffset(free, base, None, None)
        texts = [*subgraph.node_labels, *subgraph.relation_labels]
        vectors = represent(bench.model, bench.tokenizer, texts, config.repr_layer, pooling=config.pooling)
        nodes = len(subgraph.nodes)
        graph = subgraph.to_pyg(vectors[:nodes].to(base.device), vectors[nodes:].to(base.device))
        encoder = RelationalEncoder(
            base.shape[-1],
            layers=config.order,
            kind=config.encoder,
            aggregation="mean" if config.published else "sum",
            dropout=config.dropout,
            self_loops="published" if config.published else "none",
            dropout_last=config.published,
            seed=bench.seed,
        ).to(base.device)
        return GraphOffset(config, base, encoder, graph)


def _notes(subgraph: Subgraph | None) -> tuple[str, ...]:
    if subgraph is None:
        return ("no subgraph: subject or target is not an item of the graph, so the value is ROME's",)
    if len(subgraph.triples) == 1:
        return ("the graph knows nothing else of the new object: its subgraph is the edited fact alone",)
    return ()
