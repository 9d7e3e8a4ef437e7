"""Batches of token rows of different lengths: padding, masks and positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


def align(rows: Sequence[Sequence[int]], places: Sequence[int], fill: int) -> tuple[Tensor, Tensor, int]:
    """Rows of token ids as one batch in which a chosen token of every row stands in the same column.

    Args:
        rows: Token ids.
        places: Index of the chosen token in each row; 0 pads on the right only, the row's length on the left only.
        fill: Token id of the padding.

    Returns:
        Ids and mask, both (batch, columns), int64; the mask is 1 for tokens and 0 for padding. Then the column.
    """
    column = max(places, default=0)
    behind = max((len(row) - place for row, place in zip(rows, places, strict=True)), default=0)
    ids = torch.full((len(rows), column + behind), fill, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, (row, place) in enumerate(zip(rows, places, strict=True)):
        span = slice(column - place, column - place + len(row))
        ids[number, span] = torch.tensor(row, dtype=torch.long)
        mask[number, span] = 1
    return ids, mask, column


def pad(rows: Sequence[Sequence[int]], fill: int, side: Literal["left", "right"]) -> tuple[Tensor, Tensor]:
    """Rows of token ids as one batch, padded on one side.

    Returns:
        Ids and mask, both (batch, longest row), as in `align`.
    """
    ids, mask, _ = align(rows, [len(row) if side == "left" else 0 for row in rows], fill)
    return ids, mask


def position_ids(mask: Tensor) -> Tensor:
    """Position of every token in its own row, wherever the padding is; shaped like the mask, (batch, columns).

    Padding before a row has position 0, padding behind it the position of the row's last token.
    """
    return (mask.cumsum(-1) - 1).clamp(min=0)


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """A token to fill batches with; it is masked, so any valid id will do."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0
