"""A gate on the changes that any method makes to MLP output matrices, so that they act at the subject only.

The gate's keys are what the edited layer reads at the subject's last token: behind every context prefix, in the edit
prompt and in the other wordings of its relation. See `kgedit.delta.gated` for what the gate does with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

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
    delta, owners = as_low_rank(computed.delta), computed.owners_among(len(requests))
    prompts = [_prompts(bench, request, text) for request in requests]
    # Each edit can have its own gate only where it has the same columns on every weight: later layers have others.
    same_on_all = len(set(map(tuple, owners.values()))) == 1
    apart = same_on_all and all(update.rank == len(owners[update.name]) for update in delta.updates)
    if len(requests) == 1 or not apart:
        (whole,) = with_gates_on(bench, [delta], [list(chain.from_iterable(prompts))], threshold)
        return whole
    # Each edit of a joint write has columns of its own, and so a gate of its own. What is to be known of all of them
    # is noted once.
    parts = with_gates_on(bench, columns(replace(delta, manifest={}), owners), prompts, threshold)
    return GatedDelta.joined(parts, delta.base_hash, {**delta.manifest, "gate": threshold})


@torch.inference_mode(False)
def with_gates_on(
    bench: Workbench, parts: Sequence[LowRankDelta], prompts: Sequence[Sequence[PromptTokens]], threshold: float
) -> list[GatedDelta]:
    """Changes of the same layers, each behind a gate that opens at the subjects of its own prompts."""
    model = bench.model
    anatomy = anatomy_of(model)
    layer_of = {anatomy.weight_name(layer): layer for layer in range(anatomy.n_layers(model))}
    elsewhere = [name for name in parts[0].names if name not in layer_of]
    if elsewhere:
        raise SettingError(
            f"a gate stands before MLP output matrices only, and this method changes {elsewhere[0]}; leave gate out"
        )
    keys: list[dict[str, Tensor]] = [{} for _ in parts]
    closed: list[dict[str, Tensor]] = [{} for _ in parts]
    beginnings = [encode_prompt(bench.tokenizer, "{} is", word) for word in BEGINNINGS]

    def read(numbers: Sequence[int], name: str) -> None:
        asked, layer = [*chain.from_iterable(prompts[number] for number in numbers), *beginnings], layer_of[name]
        found = subject_keys(model, asked, (layer,))[layer]  # (prompts, d_ff)
        *own, last = torch.split(found, [*(len(prompts[number]) for number in numbers), len(beginnings)])
        for number, of_part in zip(numbers, own, strict=True):
            keys[number][name], closed[number][name] = of_part, last

    # Each layer reads what the gated changes below it leave, so the keys are taken layer by layer from below. Below
    # the lowest nothing is changed: there all parts are read in one go.
    lowest, *others = sorted(parts[0].names, key=layer_of.__getitem__)
    read(range(len(parts)), lowest)
    for name in others:
        for number, part in enumerate(parts):
            below = tuple(update for update in part.updates if update.name in keys[number])
            so_far = gated(replace(part, updates=below), keys[number], threshold, closed[number])
            with so_far.apply(model, check=False):
                read([number], name)
    return [gated(part, own, threshold, shut) for part, own, shut in zip(parts, keys, closed, strict=True)]


def _prompts(bench: Workbench, request: Request, text: Verbalizer) -> list[PromptTokens]:
    """The edit prompt behind every prefix, and the relation's other wordings."""
    tokenizer, limit = bench.tokenizer, context_length(bench.model)
    asked = [(request.prompt, prefix) for prefix in bench.prefixes]
    if request.relation is not None and request.relation in text:
        every = (*text.prompts((request.relation,)), *text.questions((request.relation,)))
        asked += [(template, "") for template in every]
    return [
        encode_prompt(tokenizer, template, request.subject, prefix=prefix, max_length=limit)
        for template, prefix in asked
    ]
