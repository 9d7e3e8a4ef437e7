"""KN: the neurons that carry the old answer get the new one's embedding (Dai et al., ACL 2022, arXiv 2104.08696).

Integrated gradients find the neurons that the model's present answer depends on (`lm.neurons`). What each of them adds
to the residual stream, its column of the MLP output matrix, is moved from the old answer's embeddings to the new
object's. No optimisation, and nothing that holds other facts: a baseline. docs/methods.md, "Knowledge neurons".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kgedit.delta import LowRankDelta, WeightUpdate, hash_weights
from kgedit.errors import EditError
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.lm.neurons import SHARE, STEPS, THRESHOLD, Neuron, attributions, coarse_set, own_answer, refined_set
from kgedit.methods.base import Case, Computed, Method, Request, Workbench, one_after_another
from kgedit.methods.settings import MethodSettings


class KnSettings(MethodSettings):
    """Hyper-parameters of KN; the defaults are those of the released configurations.

    Attributes:
        threshold: Share of the largest attribution above which a neuron is in the coarse set.
        integration_steps: Intervals of the integral.
        refine: Take the neurons that several wordings of the relation share, instead of the edit prompt's own.
        share: Share of the wordings whose coarse sets must have a neuron.
        scale: Factor of the embeddings; none is 2 where old answer and new object are one token each, else 1.
    """

    threshold: float = Field(default=THRESHOLD, ge=0, lt=1)
    integration_steps: int = Field(default=STEPS, ge=1)
    refine: bool = False
    share: float = Field(default=SHARE, ge=0, lt=1)
    scale: float | None = Field(default=None, gt=0)


class Kn(Method):
    """The method; see the module's docstring."""

    name = "kn"
    summary = "Moves what the neurons of the old answer add to the residual stream (Dai et al., 2022)."
    kind = "neurons"
    takes_gate = False
    Config: ClassVar[type[MethodSettings]] = KnSettings
    config: KnSettings

    @torch.inference_mode(False)
    def compute(
        self, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None] = ()
    ) -> list[Computed]:
        """One delta per request, of rank one in each layer that has neurons of it.

        Raises:
            EditError: No neuron raises the probability of the present answer.
        """
        # What cannot be encoded is refused before anything is computed.
        encoded = [self._encoded(bench, request) for request in requests]
        computed = []
        for number, (request, (prompts, target)) in enumerate(zip(requests, encoded, strict=True)):
            computed.append(self._computed(bench, request, prompts, target))
            if bench.progress:
                bench.progress("neurons", number + 1, len(requests))
        return computed

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case: its edits one after another, as published."""
        return one_after_another(self, bench, cases)

    def _encoded(self, bench: Workbench, request: Request) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Ids of the edit prompt, with `refine` the relation's other wordings behind it; and of the new object."""
        text = Verbalizer.bundled()
        templates = [request.prompt]
        if self.config.refine and request.relation is not None and request.relation in text:
            templates += [wording for wording in text.prompts((request.relation,)) if wording != request.prompt]
        return bench.encoded(request, self.config.ending, templates)

    def _computed(
        self, bench: Workbench, request: Request, prompts: Sequence[tuple[int, ...]], target: tuple[int, ...]
    ) -> Computed:
        config, model = self.config, bench.model
        old = own_answer(model, bench.tokenizer, prompts[0])
        neurons, notes = self._neurons(bench, request, prompts, old)
        # Per layer: column i += scale * (sum of the new object's embeddings - sum of the old answer's).
        scale = config.scale or (2.0 if len(old) == len(target) == 1 else 1.0)
        head = model.get_output_embeddings().weight.detach()  # type: ignore[no-untyped-call]  # (V, d)
        change = scale * (_summed(head, target) - _summed(head, old))  # (d,)
        if not bool(change.any()):
            notes = (*notes, "the model says the new object already, so nothing was changed")
        updates = self._updates(bench, neurons, change)
        base = hash_weights(model, [update.name for update in updates])
        log: dict[str, Any] = {
            "neurons": [list(neuron) for neuron in neurons],
            "old_answer": str(bench.tokenizer.decode(list(old))).strip(),
        }
        manifest = {"method": self.name, "settings": config.model_dump(mode="json"), "seed": bench.seed, **log}
        return Computed(LowRankDelta(updates, base, manifest), notes, log)

    def _neurons(
        self, bench: Workbench, request: Request, prompts: Sequence[tuple[int, ...]], old: tuple[int, ...]
    ) -> tuple[list[Neuron], tuple[str, ...]]:
        """The coarse set of the edit prompt, or the refined one of all prompts; and notes."""
        config = self.config
        sets = [
            coarse_set(attributions(bench.model, ids, old, steps=config.integration_steps), config.threshold)
            for ids in prompts
        ]
        if not sets[0]:
            raise EditError(
                f"no neuron raises the probability of what the model now says to {request.question!r}, so kn finds "
                "nothing to change; take another prompt or method"
            )
        if not config.refine:
            return sets[0], ()
        if len(prompts) == 1:
            return sets[0], ("there is no other wording of the relation, so the neurons are those of one prompt",)
        refined = refined_set(sets, config.share)
        if not refined:
            return sets[0], ("no neuron is shared by enough wordings: those of the edit prompt were taken",)
        return refined, ()

    def _updates(self, bench: Workbench, neurons: Sequence[Neuron], change: Tensor) -> tuple[WeightUpdate, ...]:
        """DW = change 1^T for each layer, 1 at the neurons' columns."""
        anatomy = anatomy_of(bench.model)
        updates = []
        for layer in sorted({neuron.layer for neuron in neurons}):
            weight = to_math(anatomy.weight(bench.model, layer), anatomy.conv1d)  # (d, d_ff)
            columns = torch.zeros(weight.shape[1], 1)
            columns[[neuron.entry for neuron in neurons if neuron.layer == layer]] = 1.0
            updates.append(WeightUpdate(anatomy.weight_name(layer), columns, change[:, None].cpu(), anatomy.conv1d))
        return tuple(updates)


def _summed(head: Tensor, tokens: Sequence[int]) -> Tensor:
    return head[list(tokens)].float().sum(dim=0)  # (d,)
