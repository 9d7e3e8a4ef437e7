"""Sees the sums that torch adds up by atomic additions, so that the order of threads shows in their last bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# On the CPU `index_put_` with accumulation is the one kernel that adds up in varying order; gradients of `x[index]`
# are such ones.
ATOMIC = {torch.ops.aten.index_put, torch.ops.aten.index_put_, torch.ops.aten._index_put_impl_}


class RepeatedIndices(TorchDispatchMode):
    """Collects the shapes of the sums that several threads could add to at one place."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(zip(("self", "indices", "values", "accumulate"), args, strict=False)) | (kwargs or {})
        if func.overloadpacket in ATOMIC and named.get("accumulate") and repeated(named["indices"]):
            self.found.append(tuple(named["self"].shape))
        return func(*args, **(kwargs or {}))


def repeated(indices: Sequence[Tensor | None]) -> bool:
    numbers = [index for index in indices if index is not None and index.dtype != torch.bool]
    if not numbers:
        return False  # a mask names each place once
    places = torch.stack([index.reshape(-1) for index in torch.broadcast_tensors(*numbers)])  # (indices, n)
    return places.unique(dim=1).shape[1] < places.shape[1]
