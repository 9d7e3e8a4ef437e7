"""ROME: one fact as a rank-one change of one MLP output matrix (Meng et al., NeurIPS 2022, arXiv 2202.05262).

Two steps: optimise what must be added to the MLP output at the subject's last token so that the edit prompt, behind N
context prefixes, gives o* (eq. 4; `engine.value`); write it in closed form against the second moment of keys (eq. 2;
`engine.closed_form`). docs/methods.md, "ROME".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from kgedit.delta import LowRankDelta, hash_weights
from kgedit.graph.subgraph import Subgraph
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import frozen
from kgedit.methods.base import Case, Computed, Request, Workbench, one_after_another
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.objective import Objective, edit_objective
from kgedit.methods.engine.value import FreeOffset, optimise
from kgedit.methods.engine.write_layers import write_read
from kgedit.methods.settings import Variant, guessed_layer
from kgedit.methods.value_method import ValueMethod, ValueSettings
from kgedit.progress import steps_of


class RomeConfig(ValueSettings):
    """Hyper-parameters of ROME; the defaults are those published for gpt2-xl and GPT-J.

    Attributes:
        layer: Edited layer.
        key: "averaged" uses one key everywhere (r-ROME); "original" is the published mixture.
    """

    # "paper-glame" is ROME as GLAME's own tables run it, which differs for some models only (their presets).
    published: ClassVar[Mapping[str, Variant]] = {
        "paper": Variant(
            "ROME as published: its mixture of keys, no ridge",
            {"key": "original", "prefixes": "5x10+10x10", "prefix_seeds": "begin", "moment_ridge": 0.0},
        ),
        "paper-glame": Variant("ROME as GLAME's own tables run it"),
    }

    layer: int = Field(ge=0)
    key: Literal["averaged", "original"] = "averaged"

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """The edit layer."""
        return {"layer": guessed_layer(n_layers)}


class Rome(ValueMethod):
    """The method; see the module's docstring."""

    name = "rome"
    summary = "One fact as a rank-one change of one layer (Meng et al., 2022)."
    kind = "closed form"
    needs = "second moments"
    Config = RomeConfig
    config: RomeConfig

    @property
    def moment_layers(self) -> tuple[int, ...]:
        """The edit layer."""
        return (self.config.layer,)

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def compute(
        self, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None] = ()
    ) -> list[Computed]:
        """One rank-one delta per request; all requests share one batch (subgraphs are not read)."""
        if not requests:
            return []
        config, model, layer = self.config, bench.model, self.config.layer
        anatomy = anatomy_of(model)
        objectives = [
            rome_objective(bench, request, ending=config.ending, kl_weight=config.kl_weight) for request in requests
        ]
        with frozen(model):
            # Step 1: m* = m + delta, one delta per request, all optimised in one batch.
            batch = EditBatch(model, anatomy, objectives, (layer,))
            offsets = [
                FreeOffset(
                    batch.values[layer][row].unsqueeze(0),
                    learning_rate=config.learning_rate,
                    weight_decay=config.weight_decay,
                    clamp=config.clamp,
                )
                for row in batch.first_rows
            ]
            solutions = optimise(
                batch,
                offsets,
                steps=config.steps,
                stop_loss=config.stop_loss,
                progress=steps_of(bench.progress, "optimise"),
            )
            # Step 2: each request's own rank-one change, as if it were the only one.
            base = hash_weights(model, [anatomy.weight_name(layer)])
            offsets_found = [solution.offset for solution in solutions]
            written = write_read(batch, offsets_found, layer, bench.moments[layer], key=config.key)
        computed = []
        for updates, solution in zip(written, solutions, strict=True):
            log = {"losses": solution.losses, "parts": solution.parts}
            manifest = {"method": self.name, "settings": config.model_dump(), "seed": bench.seed, **log}
            computed.append(Computed(LowRankDelta(updates, base, manifest), log=log))
        return computed

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case: its edits one after another, as published."""
        return one_after_another(self, bench, cases)


def rome_objective(bench: Workbench, request: Request, *, ending: str, kl_weight: float) -> Objective:
    """The objective of one request with the workbench's prefixes (ROME, eq. 4); MEMIT's is the same."""
    return edit_objective(
        bench.tokenizer,
        request.prompt,
        request.subject,
        bench.learned(request, ending),
        bench.prefixes,
        kl_weight=kl_weight,
        chat=bench.chat_templates(request),
        max_length=context_length(bench.model),
    )
