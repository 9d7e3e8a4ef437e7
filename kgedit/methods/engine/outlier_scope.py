"""The thresholds of a change that acts at outliers (COMEBA-HK), taken from the prompts of its own edits.

docs/methods.md, "Many edits".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from transformers import PreTrainedModel

from kgedit.delta import LowRankDelta
from kgedit.delta.outliers import OutlierDelta, peaks
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.padding import pad

_MARGIN = 1e-3  # below the peak, for rounding


def at_outliers(
    model: PreTrainedModel, delta: LowRankDelta, prompts: Sequence[Sequence[int]], alpha: float
) -> OutlierDelta:
    """A change that acts at outliers only, so that every one of its own prompts has one.

    Args:
        model: The model, with earlier changes of this kind on it.
        delta: What is to act.
        prompts: Token ids of the prompts of its edits, without the objects.
        alpha: The largest threshold.
    """
    anatomy = anatomy_of(model)
    order = {anatomy.weight_name(layer): layer for layer in range(anatomy.n_layers(model))}
    updates = sorted(delta.updates, key=lambda update: order[update.name])
    ids, mask = pad(prompts, 0, "right")  # (prompts, longest)
    thresholds: list[float] = []
    for number, update in enumerate(updates):
        module = anatomy.mlp_out(model, order[update.name])
        with ExitStack() as stack:
            # Each layer reads what the layers below give with their thresholds in force.
            if number:
                below = OutlierDelta(tuple(updates[:number]), tuple(thresholds), delta.base_hash)
                stack.enter_context(below.apply(model, check=False))
            stack.enter_context(frozen(model))
            stack.enter_context(torch.no_grad())
            seen = stack.enter_context(capture({"k": module}, inputs=True, stop=True, rows=len(prompts)))
            model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False)
        keys = [seen["k"][row, : len(prompt)] for row, prompt in enumerate(prompts)]  # each (tokens, d_ff)
        # alpha <- min(alpha, the least over the prompts of their largest z); a prompt of one token has none.
        found = [peak - _MARGIN for peak in peaks(model, update, keys) if peak > _MARGIN]
        thresholds.append(min([alpha, *found]))
    return OutlierDelta(tuple(updates), tuple(thresholds), delta.base_hash, dict(delta.manifest))
