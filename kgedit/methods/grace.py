"""GRACE and HoReN: a store of keys and trained values beside one layer; the weights stay as they are.

GRACE: Hartvigsen et al., *Aging with GRACE*, NeurIPS 2023, arXiv 2211.11031. HoReN compares directions, of an average
over the prompt, and adds its values; otherwise it is the same. docs/methods.md, "GRACE and HoReN".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.delta import hash_weights
from kgedit.delta.codebook import Codebook, KeyedValue, Lookup
from kgedit.delta.keyed import KeyedDelta, codebook_of
from kgedit.delta.prompt_ends import PromptPlace, prompts_at
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.padding import pad
from kgedit.lm.tokens import encode_target
from kgedit.methods.base import Case, Computed, Method, Request, Workbench, check_cases
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.objective import Objective, ObjectiveRow, target_rows
from kgedit.methods.engine.value import FreeOffset, Solution, optimise
from kgedit.methods.settings import AS_PUBLISHED, MethodSettings, SteppedSettings, Variant, guessed_layer
from kgedit.progress import steps_of

_DEPTH = 0.8  # published: Llama-2 27 of 32, GPT-J 25 of 28, gpt2-xl 35 of 48; HoReN Llama-3 29 of 32


class KeyedSettings(SteppedSettings):
    """Hyper-parameters that GRACE and HoReN share.

    Attributes:
        layer: Whose MLP output a value replaces or joins. What follows the first token of an object is read off the
            layers above, so it must not be the last one.
        steps: Of Adam on the value.
        learning_rate: Adam's.
        stop_loss: The training stops below this loss; the published code never stops early.
    """

    published: ClassVar[Mapping[str, Variant]] = {"paper": Variant(AS_PUBLISHED, {"stop_loss": 0.0})}

    layer: int = Field(ge=0)
    steps: int = Field(default=50, ge=1)
    learning_rate: float = Field(default=1.0, gt=0)
    stop_loss: float = Field(default=0.01, ge=0)

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """The layer."""
        return {"layer": guessed_layer(n_layers, _DEPTH, above=1)}

    @property
    def lookup(self) -> Lookup:
        """How the store is consulted."""
        raise NotImplementedError


class GraceSettings(KeyedSettings):
    """Hyper-parameters of GRACE.

    Attributes:
        radius: Distance from its key, in the layer's own units, up to which an entry answers at first.
    """

    radius: float = Field(default=1.0, gt=0)

    @property
    def lookup(self) -> Lookup:
        """The prompt's last token, Euclidean distance, radii that adapt, a value that stands in for the output."""
        return Lookup(self.radius, adapts=True, replaces=True)


class HorenSettings(KeyedSettings):
    """Hyper-parameters of HoReN; the defaults are those published for Llama-3-8B.

    Attributes:
        threshold: Least cosine with its key at which an entry answers.
        share: Share of the prompt's tokens, the last ones, that a query is the mean of.
        pull: How far a Hopfield step moves a query towards the keys.
        sharpness: Of the softmax in that step.
        reuse: Train an edit that an entry with the same object answers for into that entry, as the published code
            does, instead of giving it a key of its own.
    """

    published: ClassVar[Mapping[str, Variant]] = {
        "paper": Variant(
            "HoReN as published: an entry is trained on for its object", {"stop_loss": 0.0, "reuse": True}
        )
    }

    threshold: float = Field(default=0.85, gt=0, lt=1)
    share: float = Field(default=0.5, ge=0, le=1)
    pull: float = Field(default=0.1, ge=0, lt=1)
    sharpness: float = Field(default=20.0, gt=0)
    reuse: bool = False

    @property
    def lookup(self) -> Lookup:
        """Directions of averages, a fixed radius, a value that is added to the output."""
        radius = math.sqrt(2 - 2 * self.threshold)  # ||a - b||^2 = 2 - 2 cos for length 1
        return Lookup(
            radius,
            adapts=False,
            replaces=False,
            share=self.share,
            unit=True,
            pull=self.pull,
            sharpness=self.sharpness,
            reuses=self.reuse,
        )


class Grace(Method):
    """GRACE; see the module's docstring."""

    name = "grace"
    summary = "A store beside one layer answers for prompts within a radius of an edit's (Hartvigsen et al., 2023)."
    kind = "memory"
    takes_gate = False
    exports = ""
    Config: ClassVar[type[MethodSettings]] = GraceSettings
    config: KeyedSettings

    def lookup(self, bench: Workbench) -> tuple[Lookup, Tensor | None]:
        """How the store is consulted, and what queries are multiplied by."""
        return self.config.lookup, None

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case, an entry for each of its edits.

        Raises:
            EditDiverged: A loss is NaN or infinite.
            NoSuchLayer: The model has no such layer.
        """
        check_cases(cases)
        requests = [request for case in cases for request, _ in case]
        if not requests:
            return []
        model, config, anatomy = bench.model, self.config, anatomy_of(bench.model)
        anatomy.block(model, config.layer)
        name = anatomy.weight_name(config.layer)
        lookup, projection = self.lookup(bench)
        with frozen(model):
            base = hash_weights(model, [name])
            book = codebook_of(model, name, lookup)
            entries, solutions = self._entries(bench, requests, lookup, projection, book)
        computed, start = [], 0
        for case in cases:
            own = slice(start, start + len(case))
            start = own.stop
            log = {"losses": [solution.losses for solution in solutions[own]]}
            settings = config.model_dump(mode="json", exclude={"editor"})
            manifest = {"method": self.name, "settings": settings, "seed": bench.seed, **log}
            delta = KeyedDelta(name, lookup, tuple(entries[own]), base, manifest, projection)
            computed.append(Computed(delta, log=log))
        return computed

    def _entries(
        self,
        bench: Workbench,
        requests: Sequence[Request],
        lookup: Lookup,
        projection: Tensor | None,
        book: Codebook | None,
    ) -> tuple[list[KeyedValue], list[Solution]]:
        model, config, anatomy = bench.model, self.config, anatomy_of(bench.model)
        rows = self._rows(bench, requests)
        labels = [encode_target(bench.tokenizer, request.target, request.question) for request in requests]
        # Entries act at their own prompts alone, so a further one is trained on the model without the store.
        with prompts_at(model, ()):
            keys = queries(
                model, config.layer, [row.prompt for row in rows], lookup, projection
            )  # (edits, d_ff), or (edits, m)
            batch = EditBatch(model, anatomy, [Objective((row,)) for row in rows], (config.layer,))
            outputs = batch.values[config.layer]  # (edits, d)
            offsets = [
                FreeOffset(output.unsqueeze(0), learning_rate=config.learning_rate, weight_decay=0.0, clamp=math.inf)
                for output in outputs
            ]
            # A prompt near an entry with the same object goes on from that entry's value.
            for number, offset in enumerate(offsets):
                known = book.known(keys[number], labels[number]) if book else -1
                if book and known >= 0:
                    value = book.values[known].to(outputs.device)
                    with torch.no_grad():
                        offset.delta.copy_((value - outputs[number] if lookup.replaces else value).unsqueeze(0))
            solutions = optimise(
                batch,
                offsets,
                steps=config.steps,
                stop_loss=config.stop_loss,
                keep="best",
                progress=steps_of(bench.progress, "optimise"),
            )
        entries = []
        for key, output, solution, label in zip(keys, outputs, solutions, labels, strict=True):
            value = output + solution.offset[0] if lookup.replaces else solution.offset[0]  # (d,)
            entries.append(KeyedValue(key.cpu(), value.detach().float().cpu(), tuple(label)))
        return entries, solutions

    def _rows(self, bench: Workbench, requests: Sequence[Request]) -> list[ObjectiveRow]:
        """One row per edit: the bare prompt and the new object, written at the prompt's last token."""
        limit, rows = context_length(bench.model), []
        for request in requests:
            target = bench.learned(request, self.config.ending)
            (row,) = target_rows(bench.tokenizer, request.prompt, request.subject, target, ("",), max_length=limit)
            rows.append(replace(row, place=row.scored[0]))
        return rows


def queries(
    model: PreTrainedModel,
    layer: int,
    prompts: Sequence[Sequence[int]],
    lookup: Lookup,
    projection: Tensor | None = None,
) -> Tensor:
    """What the store of a layer is asked for each prompt (token ids), (prompts, d_ff) or (prompts, m)."""
    module = anatomy_of(model).mlp_out(model, layer)
    ids, mask = pad(prompts, 0, "right")  # (prompts, longest)
    with torch.no_grad(), capture({"k": module}, inputs=True, stop=True, rows=len(prompts)) as captured:
        model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False)
    places = [PromptPlace(row, range(len(prompt))) for row, prompt in enumerate(prompts)]
    return lookup.query(captured["k"], places, projection)


class Horen(Grace):
    """HoReN; see the module's docstring."""

    name = "horen"
    summary = "As grace, for directions of an average over the prompt; a fixed threshold, values that are added."
    Config = HorenSettings
