"""What a write of many facts measures old keys with: the matrix B in dW = R left^T, left = B K (I + K^T B K)^-1.

B is the inverse of what stands for the keys that W serves already, so every closed form of this family is one choice
of B (docs/methods.md, "Many edits"). With C the second moment, P the projector on its null space and K_p earlier keys:

    MEMIT, EMMET        B^-1 = lambda C
    MEMIT-seq, ENCORE   B^-1 = lambda C + n I + K_p K_p^T
    AlphaEdit           B    = P (n I + P K_p K_p^T P)^-1 P

A metric has a `Moment`'s one method: `solve` maps rows k^T to rows (B k)^T.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kgedit.errors import EditError
from kgedit.lm.second_moment.find import IdentityMoment
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.methods.engine.closed_form import Moment


@dataclass(frozen=True)
class Weighted:
    """B = (lambda C)^-1.

    Attributes:
        moment: C.
        weight: lambda.
    """

    moment: Moment
    weight: float

    def solve(self, keys: Tensor) -> Tensor:
        """Rows k^T -> rows (B k)^T, (n, d_ff) float64."""
        return self.moment.solve(keys).to(keys.device) / self.weight


class NullSpace:
    """B = P / n: P projects on the eigenvectors of C below a threshold (AlphaEdit, Fang et al., ICLR 2025).

    Attributes:
        basis: (d_ff, r) float64, these eigenvectors; P = basis basis^T.
    """

    def __init__(self, moment: Moment, threshold: float, weight: float) -> None:
        """Find the null space.

        Args:
            moment: C, from collected statistics.
            threshold: Eigenvalues below it count as zero.
            weight: n, how dear a change in the null space is.

        Raises:
            EditError: C has no statistics, or no eigenvalue below the threshold.
        """
        if not isinstance(moment, SecondMoment):
            raise EditError(
                "a write into the null space needs second moments that were collected (the identity has no null "
                "space); collect them with `kgedit moments`, or use constraint=moment"
            )
        wide = moment.matrix.double()
        values, vectors = torch.linalg.eigh((wide + wide.T) / 2)
        below = values < threshold
        if not bool(below.any()):
            raise EditError(
                f"no eigenvalue of the second moment of layer {moment.layer} is below {threshold:g} (they go from "
                f"{float(values[0]):.2g} to {float(values[-1]):.2g}), so nothing may be changed; raise "
                f"null_threshold, e.g. to their median {float(values.median()):.2g}"
            )
        self.basis, self._weight = vectors[:, below], weight

    def solve(self, keys: Tensor) -> Tensor:
        """Rows k^T -> rows (P k)^T / n, (n, d_ff) float64."""
        basis = self.basis.to(keys.device)
        solved: Tensor = keys.double() @ basis @ basis.T / self._weight
        return solved


class GrowingMetric:
    """B of keys that come bit by bit: B <- B - F (I + K^T F)^-1 F^T with F = B K, a solve of the size of what is new.

    The recursive least squares of RLSEdit; after all keys B is that of MEMIT-seq, (B_0^-1 + sum K_p K_p^T)^-1. B is
    kept as B_0 - G^T G, so the state is a row of G for each key.
    """

    def __init__(self, base: Moment) -> None:
        """Begin with B_0."""
        self._base = base
        self._rows: Tensor | None = None  # G, (n, d_ff)

    def add(self, keys: Tensor) -> None:
        """Hold further keys, (u, d_ff)."""
        wide = keys.double()
        # F^T = K^T B, and I + K^T F = L L^T.
        forward = self.solve(wide)  # (u, d_ff)
        small = torch.eye(len(wide), dtype=wide.dtype, device=wide.device) + wide @ forward.T  # (u, u)
        # F (L L^T)^-1 F^T = (L^-1 F^T)^T (L^-1 F^T), which become rows of G.
        fresh = torch.linalg.solve_triangular(torch.linalg.cholesky(small), forward, upper=False)  # (u, d_ff)
        self._rows = fresh if self._rows is None else torch.cat([self._rows, fresh])

    def solve(self, keys: Tensor) -> Tensor:
        """Rows k^T -> rows (B k)^T, (n, d_ff) float64."""
        wide = keys.double()
        plain = self._base.solve(wide).to(wide.device)
        return plain if self._rows is None else plain - wide @ self._rows.T @ self._rows


def soft_metric(moment: Moment, weight: float, key_ridge: float) -> Moment:
    """B = (lambda C + n I)^-1, with lambda `weight` and n `key_ridge`.

    Raises:
        EditError: C is such that nothing can be added to it.
    """
    if not key_ridge:
        return Weighted(moment, weight)
    if isinstance(moment, IdentityMoment):
        return Weighted(moment, weight + key_ridge)
    if not isinstance(moment, SecondMoment):
        raise EditError("key_ridge cannot be added to second moments that hold further keys; set it to 0")
    share = key_ridge / (weight * scale_of(moment))
    return Weighted(replace(moment, ridge=moment.ridge + share), weight)


def scale_of(moment: Moment) -> float:
    """Mean diagonal of C; 1 for the identity."""
    return float(moment.matrix.diagonal().mean()) if isinstance(moment, SecondMoment) else 1.0


def joint_solve(keys: Tensor, metric: Moment) -> Tensor:
    """B K (I + K^T B K)^-1 for keys K^T (edits, d_ff), as (d_ff, edits) float32.

    By the push-through identity this is (B^-1 + K K^T)^-1 K, by a solve of the size of the batch.
    """
    wide = keys.double()
    solved = metric.solve(wide).T  # (d_ff, edits)
    small = torch.eye(len(wide), dtype=wide.dtype, device=wide.device) + wide @ solved  # (edits, edits)
    left: Tensor = torch.linalg.solve(small.T, solved.T).T  # (d_ff, edits)
    return left.float()


def written_share(keys: Tensor, left: Tensor) -> Tensor:
    """(edits,) how much of its residual each edit finds at its own key after the write, at most 1."""
    return (keys.double() * left.T.double().to(keys.device)).sum(dim=1)


def reached_share(shares: Tensor, *, divided: bool = True) -> Tensor:
    """(edits,) about how much of the way to z the write goes, for the shares (layers, edits) that its layers write.

    Layer j of q is asked for 1 / (q - j + 1) of what is still missing, and writes its share of that; where it is not
    `divided`, each layer has a goal of its own, and the last one's counts.
    """
    if not divided:
        return shares[-1]
    layers = len(shares)
    left_over = torch.ones_like(shares[0])
    for place, share in enumerate(shares):
        left_over = left_over * (1 - share / (layers - place))
    return 1 - left_over
