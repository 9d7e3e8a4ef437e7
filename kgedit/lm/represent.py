"""Early-layer vectors of entity and relation labels, each read alone (GLAME, Zhang et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import PromptError
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.padding import pad, pad_id
from kgedit.lm.tokens import encode_texts

Pooling = Literal["avg", "last", "composite", "composite_norm"]


def represent(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    layer: int,
    *,
    pooling: Pooling = "avg",
    batch_size: int = 64,
) -> Tensor:
    """Output of a block for labels that are read alone, pooled over their tokens.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        texts: Labels; each is encoded without template, leading space or neighbours.
        layer: Block whose output is taken.
        pooling: "avg" the mean over tokens; "last" the last token; "composite" the mean of these two;
            "composite_norm" the same with the mean first scaled to the norm of the last token.
        batch_size: Labels per forward pass.

    Returns:
        (n, d) float32 on the model's device, detached. BOS is read by the model but left out of every
        pooling.

    Raises:
        PromptError: A label is empty, turns into no token, or is longer than the context.
        NoSuchLayer: The model has no such block.
    """
    (vectors,) = represent_each(model, tokenizer, [texts], layer, pooling=pooling, batch_size=batch_size)
    return vectors


def represent_each(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    groups: Sequence[Sequence[str]],
    layer: int,
    *,
    pooling: Pooling = "avg",
    batch_size: int = 64,
) -> list[Tensor]:
    """`represent` of each group, bit for bit; the model is looked through and prepared once for all of them."""
    block = anatomy_of(model).block(model, layer)
    with frozen(model), torch.no_grad():
        return [_represent(model, tokenizer, block, texts, pooling, batch_size) for texts in groups]


def _represent(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    block: nn.Module,
    texts: Sequence[str],
    pooling: Pooling,
    batch_size: int,
) -> Tensor:
    """One group, in evaluation mode without gradients."""
    rows = encode_texts(tokenizer, texts)
    limit = context_length(model)
    # A label has no context to borrow from: it must have a token and fit as a whole.
    for text, row in zip(texts, rows, strict=True):
        if not text.strip() or len(row.ids) == row.leading:
            raise PromptError(f"the label {text!r} has no token; give the entity or relation a name")
        if len(row.ids) > limit:
            raise PromptError(f"a label has {len(row.ids)} tokens, the model reads {limit}; shorten it")
    pooled = []
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        ids, mask = (t.to(model.device) for t in pad([r.ids for r in batch], pad_id(tokenizer), "right"))
        with capture({"h": block}, stop=True) as recorded:
            model(input_ids=ids, attention_mask=mask)
        for hidden, row in zip(recorded["h"].float(), batch, strict=True):  # (seq, d)
            pooled.append(_pool(hidden[row.leading : len(row.ids)], pooling))  # (d,)
    width = int(model.config.hidden_size)
    return torch.stack(pooled) if pooled else torch.zeros(0, width, device=model.device, dtype=torch.float32)  # (n, d)


def _pool(hidden: Tensor, pooling: Pooling) -> Tensor:
    """(tokens, d) -> (d,)."""
    mean, last = hidden.mean(0), hidden[-1]
    if pooling == "avg":
        return mean
    if pooling == "last":
        return last
    if pooling == "composite":
        return (last + mean) / 2
    scaled: Tensor = mean * (last.norm() / mean.norm())
    return (last + scaled) / 2
