"""A delta of smaller rank: the nearest there is (truncated singular value decomposition), with what it loses."""

from __future__ import annotations

from dataclasses import replace

import torch

from kgedit.delta.low_rank import LowRankDelta
from kgedit.delta.update import WeightUpdate


def compress(delta: LowRankDelta, rank: int) -> tuple[LowRankDelta, dict[str, float]]:
    """The nearest delta, in Frobenius norm, of at most this rank per weight (Eckart and Young, 1936).

    Args:
        delta: What to compress; the manifest is kept, with the rank noted under "compressed_to".
        rank: Largest rank of any update, at least 1.

    Returns:
        The delta, and parameter name -> relative error ||dW - dW'|| / ||dW||. An update whose rank is no larger
        stays as it is, with error 0.

    Raises:
        ValueError: A rank below 1.
    """
    if rank < 1:
        raise ValueError(f"a delta has at least rank 1, not {rank}")
    made = [_nearest(update, rank) for update in delta.updates]
    errors = {update.name: error for update, (_, error) in zip(delta.updates, made, strict=True)}
    updates = tuple(update for update, _ in made)
    return replace(delta, updates=updates, manifest={**delta.manifest, "compressed_to": rank}), errors


def _nearest(update: WeightUpdate, rank: int) -> tuple[WeightUpdate, float]:
    if update.rank <= rank:
        return update, 0.0
    # dW = R L^T = Q_r (T_r T_l^T) Q_l^T: only the small matrix in the middle is decomposed.
    outer, upper = torch.linalg.qr(update.right.double())  # (d_out, s), (s, r), s = min(d_out, r)
    inner, lower = torch.linalg.qr(update.left.double())  # (d_in, t), (t, r)
    u, sizes, v = torch.linalg.svd(upper @ lower.T, full_matrices=False)  # (s, m), (m,), (m, t)
    half = sizes[:rank].sqrt()
    left, right = inner @ v[:rank].T * half, outer @ u[:, :rank] * half  # (d_in, rank), (d_out, rank)
    whole = float(sizes.square().sum())
    error = (float(sizes[rank:].square().sum()) / whole) ** 0.5 if whole > 0 else 0.0
    return replace(update, left=left, right=right), error
