"""MEND's transform of gradient factors: two residual low-rank layers over normalised factors (section 3.2, eq. 3)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_EPSILON = 1e-7
_LAYERS = 2  # one hidden layer


class RunningMoments(nn.Module):
    """Mean and variance of features over all rows seen (Welford's update, in batches).

    Attributes:
        count: () rows seen.
        mean: (features,).
        squares: (features,) sum of squared distances from the mean.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, features: int) -> None:
        """Begin without rows."""
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("squares", torch.zeros(features))

    @torch.no_grad()
    def observe(self, rows: Tensor) -> None:
        """Take rows (n, features) in."""
        if not len(rows):
            return
        total = self.count + len(rows)
        mean = rows.mean(dim=0)  # (features,)
        away = mean - self.mean
        self.squares += (rows - mean).square().sum(dim=0) + away.square() * self.count * len(rows) / total
        self.mean += away * len(rows) / total
        self.count.copy_(total)

    def forward(self, rows: Tensor) -> Tensor:
        """The rows with mean 0 and variance 1; as they are before two rows were seen."""
        if self.count < 2:
            return rows
        return (rows - self.mean) / ((self.squares / (self.count - 1)).sqrt() + _EPSILON)


class ResidualLayer(nn.Module):
    """h + max(scale_m * (U V h + b) + shift_m, 0), the identity at first.

    U is zero at first and V is drawn from a normal distribution. The gradient passes where the maximum is a tie.
    """

    def __init__(self, width: int, rank: int, members: int) -> None:
        """Begin as the identity; rank is at most the width, and each member has a scale and a shift."""
        super().__init__()
        rank = min(rank, width)
        self.u = nn.Parameter(torch.zeros(width, rank))
        self.v = nn.Parameter(torch.randn(rank, width))
        self.b = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(members, width))
        self.shift = nn.Parameter(torch.zeros(members, width))

    def forward(self, h: Tensor, member: int) -> Tensor:
        """Rows (..., width) of a member."""
        inner = h @ self.v.T @ self.u.T + self.b  # (..., width)
        return h + (self.scale[member] * inner + self.shift[member]).clamp(min=0)


class GradientTransform(nn.Module):
    """g(u, delta) for the weights of one shape, which share it but for scales and shifts."""

    def __init__(self, d_out: int, d_in: int, members: int, rank: int) -> None:
        """Begin as the identity.

        Args:
            d_out: Features of delta.
            d_in: Features of u.
            members: Number of weights of this shape.
            rank: Inner rank of each layer.
        """
        super().__init__()
        self.u_moments, self.delta_moments = RunningMoments(d_in), RunningMoments(d_out)
        self.layers = nn.ModuleList(ResidualLayer(d_in + d_out, rank, members) for _ in range(_LAYERS))

    def observe(self, u: Tensor, delta: Tensor) -> None:
        """Take the factors (edits, tokens, features) into the running moments, without those of no gradient."""
        there = has_gradient(u, delta)  # (edits, tokens)
        self.u_moments.observe(u[there])
        self.delta_moments.observe(delta[there])

    def forward(self, u: Tensor, delta: Tensor, member: int) -> tuple[Tensor, Tensor]:
        """The transformed factors, both shaped like the given ones; tokens of no gradient have none.

        Args:
            u: (edits, tokens, d_in) inputs of the weight.
            delta: (edits, tokens, d_out) gradients at its output.
            member: Number of the weight among those of its shape.
        """
        there = has_gradient(u, delta)[..., None]  # (edits, tokens, 1)
        h = torch.cat([self.u_moments(u), self.delta_moments(delta)], dim=-1)  # (edits, tokens, d_in + d_out)
        for layer in self.layers:
            h = cast(Tensor, layer(h, member))
        new_u, new_delta = torch.split(h, [u.shape[-1], delta.shape[-1]], dim=-1)
        return new_u * there, new_delta * there


def has_gradient(u: Tensor, delta: Tensor) -> Tensor:
    """Which tokens have a part in the gradient: neither factor is zero; (edits, tokens) bool."""
    return u.any(dim=-1) & delta.any(dim=-1)
