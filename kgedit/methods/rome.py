"""ROME: one fact as a rank-one change of one MLP output matrix (Meng et al., 2022).

Steps: optimise what must be added to the MLP output at the subject's last token so that the edit prompt, behind N
context prefixes, gives o* (`value`); write it in closed form against the second moment of keys (`write`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from kgedit.delta import LowRankDelta, hash_weights
from kgedit.graph.subgraph import Subgraph
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import frozen
from kgedit.methods.base import Case, Computed, Request, Settings, Workbench, one_after_another
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.objective import Objective, essence_row, target_rows
from kgedit.methods.engine.value import FreeOffset, optimise
from kgedit.methods.engine.write_layers import write_layers


class RomeConfig(Settings):
    """Hyper-parameters of ROME (spec 3.4); the defaults are those published for gpt2-xl and GPT-J.

    Attributes:
        layer: Edited layer.
        steps: Evaluations of the loss.
        learning_rate: Adam's.
        weight_decay: Weight of ||delta|| / ||m||^2.
        clamp: Bound of ||delta|| / ||m||.
        kl_weight: Weight of the "{s} is a" term.
        stop_loss: The optimisation stops below this loss.
        key: "averaged" uses one key everywhere (r-ROME); "original" is the published mixture (spec 3.5).
    """

    layer: int = Field(ge=0)
    steps: int = Field(default=20, ge=1)
    learning_rate: float = Field(default=0.5, gt=0)
    weight_decay: float = Field(default=0.5, ge=0)
    clamp: float = Field(default=4.0, gt=0)
    kl_weight: float = Field(default=0.0625, ge=0)
    stop_loss: float = Field(default=0.05, ge=0)
    key: Literal["averaged", "original"] = "averaged"


class Rome:
    """The method; see the module's docstring."""

    name = "rome"
    uses_graph = False
    Config = RomeConfig

    def __init__(self, config: RomeConfig) -> None:
        """Take the hyper-parameters."""
        self.config = config

    @property
    def layers(self) -> tuple[int, ...]:
        """The edit layer."""
        return (self.config.layer,)

    @property
    def subgraph_options(self) -> dict[str, int]:
        """None: subgraphs are not read."""
        return {}

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def compute(
        self, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None] = ()
    ) -> list[Computed]:
        """One rank-one delta per request; all requests share one batch (subgraphs are not read)."""
        if not requests:
            return []
        config, model, layer = self.config, bench.model, self.config.layer
        anatomy = anatomy_of(model)
        progress = bench.progress
        objectives = [self._objective(bench, request) for request in requests]
        with frozen(model):
            batch = EditBatch(model, anatomy, objectives, self.layers)
            offsets = [
                FreeOffset(
                    batch.values[layer][row].unsqueeze(0),
                    learning_rate=config.learning_rate,
                    weight_decay=config.weight_decay,
                    clamp=config.clamp,
                )
                for row in batch.first_rows
            ]
            found = optimise(
                batch,
                offsets,
                steps=config.steps,
                stop_loss=config.stop_loss,
                progress=(lambda done, total: progress("optimise", done, total)) if progress else None,
            )
            base = hash_weights(model, [anatomy.weight_name(layer)])
            cases = [[(objective, solution.offset)] for objective, solution in zip(objectives, found, strict=True)]
            written = write_layers(model, anatomy, cases, self.layers, bench.moments, key=config.key)
        computed = []
        for updates, solution in zip(written, found, strict=True):
            log = {"losses": solution.losses, "parts": solution.parts}
            manifest = {"method": self.name, "settings": config.model_dump(), "seed": bench.seed, **log}
            computed.append(Computed(LowRankDelta(updates, base, manifest), log=log))
        return computed

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case: its edits one after another, as published."""
        return one_after_another(self, bench, cases)

    def _objective(self, bench: Workbench, request: Request) -> Objective:
        limit = context_length(bench.model)
        target = request.target + self.config.ending
        rows = target_rows(bench.tokenizer, request.prompt, request.subject, target, bench.prefixes, max_length=limit)
        return Objective((*rows, essence_row(bench.tokenizer, request.subject, self.config.kl_weight)))
