"""What a model takes as input for trees of tokens: ids, positions, and a mask by which a token sees its ancestors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.delta.in_context import tokens_read_first
from kgedit.lm.padding import pad
from kgedit.lm.token_trees import TokenTree

# Families whose layers differ in what they see take one mask per kind of layer. A family that is in neither row, or
# an attention that takes no masks of ours, gets plain padded batches.
_MASKS: Mapping[str, bool] = MappingProxyType(
    dict.fromkeys(("gpt2", "gptj", "gpt_neox", "opt", "llama", "mistral", "gemma", "phi3", "olmo2", "granite"), False)
    | dict.fromkeys(("qwen2", "qwen3", "gemma2", "gemma3_text", "smollm3"), True)
)
_ATTENTION = ("eager", "sdpa")


def takes_trees(model: PreTrainedModel) -> bool:
    """Whether the model can be given a mask of ours; if not, every row needs a tree of its own."""
    known = model.config.model_type in _MASKS and model.config._attn_implementation in _ATTENTION
    return known and not tokens_read_first(model)


def tree_inputs(model: PreTrainedModel, trees: Sequence[TokenTree]) -> dict[str, Any]:
    """Keyword arguments of a forward pass over some trees, padded on the right; ids and positions (trees, width)."""
    ids, mask = pad([tree.tokens for tree in trees], 0, "right")  # (trees, width)
    positions, _ = pad([tree.depths for tree in trees], 0, "right")
    if takes_trees(model):
        width = ids.shape[1]
        visible = np.tile(np.eye(width, dtype=np.bool_), (len(trees), 1, 1))  # padding sees itself
        for number, tree in enumerate(trees):
            visible[number, : len(tree.tokens), : len(tree.tokens)] = tree.visible()
        attention = _masks(model, torch.from_numpy(visible), positions)
    else:
        attention = mask.to(model.device)
    return {
        "input_ids": ids.to(model.device),
        "attention_mask": attention,
        "position_ids": positions.to(model.device),
    }


def _masks(model: PreTrainedModel, visible: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
    """What the model takes as attention mask for trees: 0 or the least number, (batch, 1, seq, seq)."""
    window = getattr(model.config, "sliding_window", None)
    near = visible
    if window is not None:
        near = visible & (positions.unsqueeze(-1) - positions.unsqueeze(-2) < window)  # (batch, seq, seq)
    if not _MASKS[model.config.model_type]:
        return _additive(near, model)
    return {"full_attention": _additive(visible, model), "sliding_attention": _additive(near, model)}


def _additive(visible: Tensor, model: PreTrainedModel) -> Tensor:
    least = torch.finfo(model.dtype).min
    return torch.zeros(visible.shape, dtype=model.dtype).masked_fill(~visible, least).unsqueeze(1).to(model.device)
