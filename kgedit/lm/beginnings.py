"""Keys and values of the beginnings of many rows: what several rows begin with is computed once, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel

from kgedit.lm.anatomy import Anatomy
from kgedit.lm.hooks import capture
from kgedit.lm.token_trees import BATCH_TOKENS, TREE_TOKENS, Ids, TokenTree, pack_rows, run_together
from kgedit.lm.tree_inputs import takes_trees, tree_inputs
from kgedit.lm.twins import is_plain


class Beginnings:
    """The keys and values of all layers for some rows of tokens, without gradients."""

    def __init__(self, model: PreTrainedModel, anatomy: Anatomy, rows: Sequence[Ids]) -> None:
        """Run the model over the tree of all rows.

        Args:
            model: One that `can_share` accepts, frozen by the caller.
            anatomy: `anatomy_of(model)`.
            rows: Token ids; a row may be empty.
        """
        self._model, self._rows = model, rows
        self._at: dict[Ids, list[int]] = {}  # row -> where its tokens are among those of all trees, one behind another
        found: list[list[tuple[Tensor, Tensor]]] = []
        begin = 0
        packed = pack_rows((row for row in rows if row), TREE_TOKENS)
        for trees in run_together(packed, lambda tree: tree, BATCH_TOKENS):
            cache = _run(model, anatomy, trees)
            layers: list[Any] = cache.layers
            found.append([(_flat(layer.keys), _flat(layer.values)) for layer in layers])
            width = max(len(tree.tokens) for tree in trees)
            for number, tree in enumerate(trees):
                self._at |= {row: [begin + number * width + node for node in path] for row, path in tree.paths.items()}
            begin += len(trees) * width
        # Of each layer (tokens, heads, head size).
        self._layers = [tuple(map(torch.cat, zip(*parts, strict=True))) for parts in zip(*found, strict=True)]

    def cache(self, numbers: Sequence[int]) -> Cache:
        """A cache that holds some of the rows, padded on the left with what a mask must hide."""
        rows = [self._rows[number] for number in numbers]
        width = max(map(len, rows), default=0)
        cache = DynamicCache(config=self._model.config)
        if not width:
            return cache
        places = torch.tensor(
            [[0] * (width - len(row)) + (self._at[row] if row else []) for row in rows]
        )  # (rows, width)
        for layer, tensors in enumerate(self._layers):
            of_rows = (
                tensor.index_select(0, places.flatten().to(tensor.device)).view(*places.shape, *tensor.shape[1:])
                for tensor in tensors
            )  # (rows, width, heads, head size)
            keys, values = (tensor.transpose(1, 2).contiguous() for tensor in of_rows)  # (rows, heads, width, size)
            cache.update(keys, values, layer)
        return cache


def can_share(model: PreTrainedModel) -> bool:
    """Whether rows may share what they begin with: no layer drops what a window has left, no hook looks at rows."""
    layers = DynamicCache(config=model.config).layers
    return takes_trees(model) and is_plain(model) and not any(getattr(layer, "is_sliding", False) for layer in layers)


@torch.no_grad()
def _run(model: PreTrainedModel, anatomy: Anatomy, trees: Sequence[TokenTree]) -> Cache:
    """Keys and values of some trees; what the last block does above its attention is left out."""
    cache = DynamicCache(config=model.config)
    top = anatomy.mlp(model, anatomy.n_layers(model) - 1)
    with ExitStack() as stack:
        if top is not None:
            stack.enter_context(capture({"top": top}, inputs=True, stop=True))
        model.base_model(**tree_inputs(model, trees), past_key_values=cache, use_cache=True)
    return cache


def _flat(tensor: Tensor) -> Tensor:
    """(trees, heads, width, head size) as (trees * width, heads, head size)."""
    return tensor.transpose(1, 2).flatten(0, 1)
