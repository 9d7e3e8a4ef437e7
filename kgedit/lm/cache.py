"""Key-value caches of a shared beginning: computed once, used by many forward passes over what follows."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel


def prefill(model: PreTrainedModel, ids: Tensor, mask: Tensor, position_ids: Tensor) -> Cache:
    """Run the model over the first columns of a batch and keep their keys and values of all layers.

    Running the first columns alone, instead of cropping a longer run, is right for sliding windows as
    well: their cache drops what the window has left behind.

    Args:
        model: The model; evaluation mode is the caller's business.
        ids: (batch, c) token ids, left-padded; c may be 0.
        mask: (batch, c) 1 for tokens, 0 for padding; a row may be padding throughout.
        position_ids: (batch, c).

    Returns:
        A cache to be passed on through `fork`; without gradients.
    """
    cache = DynamicCache(config=model.config)
    if ids.shape[1]:
        with torch.no_grad():
            model.base_model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=position_ids,
                past_key_values=cache,
                use_cache=True,
            )
    return cache


def fork(cache: Cache, rows: Tensor | None = None) -> Cache:
    """A cache that may grow while the original stays as it is; tensors are shared, so it costs nothing.

    Args:
        cache: A cache with dynamic layers, which grow by concatenation and never write in place.
        rows: (n,) batch indices to take, in this order, repeats allowed; None takes all.
    """
    forked = copy.copy(cache)
    forked.layers = [copy.copy(layer) for layer in cache.layers]
    if rows is not None:
        for layer in forked.layers:  # each on the device of its block, where a model is spread over several
            keys = getattr(layer, "keys", None)
            layer.batch_select_indices(rows if keys is None else rows.to(keys.device))  # type: ignore[union-attr]
    return forked


def forget(cache: Cache, layers: int) -> None:
    """Free what the first layers hold, but not how long it is; for blocks that are skipped from now on (`replay`)."""
    for layer in cache.layers[:layers]:
        for name in ("keys", "values"):
            held = getattr(layer, name, None)
            if held is not None:
                setattr(layer, name, held.new_zeros(()).expand(held.shape))
