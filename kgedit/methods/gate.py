"""A gate on the changes that any method makes to MLP output matrices, so that they act at the subject only.

The gate's keys are what the edited layer reads at the subject's last token: behind every context prefix, in the edit
prompt and in the other wordings of its relation. See `kgedit.delta.gated` for what the gate does with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor

from kgedit.delta import LowRankDelta
from kgedit.delta.gated import GatedDelta, gated
from kgedit.delta.low_rank import as_low_rank, columns
from kgedit.errors import SettingError
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.tokens import PromptTokens, encode_prompt
from kgedit.methods.base import Computed, Request, Workbench
from kgedit.methods.engine.subject_keys import subject_keys

# Words that texts begin with, which must not open a gate: Llama-like models read nearly the same at the first token of
# every text, whatever it is.
BEGINNINGS = ("The", "In", "He", "A", "It", "When")


def with_gates(
    bench: Workbench, computed: Sequence[Computed], cases: Sequence[Sequence[Request]], threshold: float | None
) -> list[Computed]:
    """What a method computed, each change behind a gate.

    Args:
        bench: What it was computed with.
        computed: The changes.
        cases: The edits that each of them makes.
        threshold: Least cosine that opens the gate; None for no gate.

    Raises:
        SettingError: A change is not one of MLP output matrices alone.
        UnsupportedExport: A change is of a kind that cannot have a gate.
    """
    if threshold is None:
        return list(computed)
    text = Verbalizer.bundled()
    return [
        replace(each, delta=_gated(bench, each, requests, text, threshold))
        for each, requests in zip(computed, cases, strict=True)
    ]


def _gated(
    bench: Workbench, computed: Computed, requests: Sequence[Request], text: Verbalizer, threshold: float
) -> GatedDelta:
    delta, owners = as_low_rank(computed.delta), computed.owners or range(len(requests))
    if len(requests) == 1 or any(update.rank != len(owners) for update in delta.updates):
        return with_gate(bench, delta, _prompts(bench, requests, text), threshold)
    # Each edit of a joint write has columns of its own, and so a gate of its own.
    parts = [
        with_gate(bench, part, _prompts(bench, [request], text), threshold)
        for part, request in zip(columns(delta, owners), requests, strict=True)
    ]
    return GatedDelta.joined(parts, delta.base_hash, {**delta.manifest, "gate": threshold})


@torch.inference_mode(False)
def with_gate(bench: Workbench, delta: LowRankDelta, prompts: Sequence[PromptTokens], threshold: float) -> GatedDelta:
    """A change behind a gate that opens at the subjects of these prompts."""
    model = bench.model
    anatomy = anatomy_of(model)
    layer_of = {anatomy.weight_name(layer): layer for layer in range(anatomy.n_layers(model))}
    elsewhere = [name for name in delta.names if name not in layer_of]
    if elsewhere:
        raise SettingError(
            f"a gate stands before MLP output matrices only, and this method changes {elsewhere[0]}; leave gate out"
        )
    keys: dict[str, Tensor] = {}
    closed: dict[str, Tensor] = {}
    beginnings = [encode_prompt(bench.tokenizer, "{} is", word) for word in BEGINNINGS]
    # Each layer reads what the gated changes below it leave, so the keys are taken layer by layer from below.
    for name in sorted(delta.names, key=lambda name: layer_of[name]):
        below = tuple(update for update in delta.updates if update.name in keys)
        with ExitStack() as applied:
            if below:
                applied.enter_context(
                    gated(replace(delta, updates=below), keys, threshold, closed).apply(model, check=False)
                )
            layer = layer_of[name]
            found = subject_keys(model, [*prompts, *beginnings], (layer,))[layer]  # (prompts, d_ff)
        keys[name], closed[name] = found[: len(prompts)], found[len(prompts) :]
    return gated(delta, keys, threshold, closed)


def _prompts(bench: Workbench, requests: Sequence[Request], text: Verbalizer) -> list[PromptTokens]:
    """The edit prompt behind every prefix, and the relation's other wordings."""
    tokenizer, limit = bench.tokenizer, context_length(bench.model)
    prompts = []
    for request in requests:
        for prefix in bench.prefixes:
            prompts.append(encode_prompt(tokenizer, request.prompt, request.subject, prefix=prefix, max_length=limit))
        if request.relation is not None and request.relation in text:
            every = (*text.prompts((request.relation,)), *text.questions((request.relation,)))
            prompts += [encode_prompt(tokenizer, template, request.subject, max_length=limit) for template in every]
    return prompts
