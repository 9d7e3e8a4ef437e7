"""Batches for the optimisation of a value: every row's pivot (the subject's last token) in one column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Aligned(NamedTuple):
    """A batch whose pivots share a column; all tensors are (batch, seq), int64.

    Attributes:
        ids: Token ids, padded on the left up to the pivot and on the right behind it.
        mask: 1 for tokens, 0 for padding.
        position_ids: Position of each token in its own row; padding repeats a neighbour's.
        column: Where every pivot stands.
    """

    ids: Tensor
    mask: Tensor
    position_ids: Tensor
    column: int


def align(rows: Sequence[Sequence[int]], pivots: Sequence[int], pad_id: int) -> Aligned:
    """Lay rows out so that row i's token number pivots[i] stands in the same column for all i.

    Raises:
        ValueError: A pivot is outside its row, or the numbers of rows and pivots differ.
    """
    for row, pivot in zip(rows, pivots, strict=True):
        if not 0 <= pivot < len(row):
            raise ValueError(f"pivot {pivot} is outside its row of {len(row)} tokens")
    column = max(pivots, default=0)
    width = column + max((len(row) - pivot for row, pivot in zip(rows, pivots, strict=True)), default=0)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, (row, pivot) in enumerate(zip(rows, pivots, strict=True)):
        span = slice(column - pivot, column - pivot + len(row))
        ids[i, span] = torch.tensor(row, dtype=torch.long)
        mask[i, span] = 1
    return Aligned(ids, mask, position_ids(mask), column)


def position_ids(mask: Tensor) -> Tensor:
    """Position of every token in its own row, whatever the padding; shaped like the mask, (batch, seq)."""
    return (mask.cumsum(-1) - 1).clamp(min=0)
