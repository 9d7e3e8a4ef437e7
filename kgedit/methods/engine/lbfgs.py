"""L-BFGS that is told one loss at a time, so that several independent problems can share each evaluation.

torch.optim.LBFGS evaluates the loss itself, inside a step, as often as it likes; here all edits of a batch are run
at once, and each one makes of its own loss and gradient what it needs: a step in a new direction, or a shorter one.
Two-loop recursion and backtracking by quadratic interpolation as in Nocedal and Wright, Numerical Optimization,
algorithms 7.4 and 3.1 (section 3.5).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_SUFFICIENT = 1e-4  # Armijo's constant
_CURVATURE = 1e-10  # pairs with less curvature than this would spoil the model of the loss


class Lbfgs:
    """Minimises a smooth loss; between two calls of `step` the parameters hold the point to be evaluated next."""

    def __init__(
        self, parameters: Sequence[nn.Parameter], *, first_step: float, longest_step: float, history: int = 10
    ) -> None:
        """Start where the parameters are.

        Args:
            parameters: What is trained.
            first_step: Length of the first step, whose direction is the gradient's: nothing is known of curvature yet.
            longest_step: Bound of the length of every step.
            history: Number of past steps that the model of the curvature is made of.
        """
        self._parameters = list(parameters)
        self._first, self._longest = first_step, longest_step
        self._pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=history)  # s, y, 1 / s.y
        self._at: Tensor | None = None  # (n,) last accepted point
        self._loss, self._gradient, self._direction, self._length = math.inf, torch.empty(0), torch.empty(0), 1.0

    @torch.no_grad()
    def step(self, loss: float) -> None:
        """Take the loss and the gradients of the current point, and go to the next one to be evaluated."""
        point = nn.utils.parameters_to_vector(self._parameters)  # (n,)
        gradient = nn.utils.parameters_to_vector(
            [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        )  # (n,)
        # Armijo's condition: accept the point if the loss fell by a share of what the slope promised.
        slope = float(self._gradient @ self._direction) if self._at is not None else 0.0
        if self._at is None or loss <= self._loss + _SUFFICIENT * self._length * slope:
            self._accept(point, loss, gradient)
        else:
            # The minimum of the parabola through the loss and slope here and the loss there, within reason.
            bend = 2 * (loss - self._loss - self._length * slope)
            shorter = -slope * self._length**2 / bend if math.isfinite(bend) and bend > 0 else 0.0
            self._length = min(max(shorter, 0.1 * self._length), 0.5 * self._length)
        if self._at is not None:
            nn.utils.vector_to_parameters(self._at + self._length * self._direction, self._parameters)
        for parameter in self._parameters:
            parameter.grad = None

    def _accept(self, point: Tensor, loss: float, gradient: Tensor) -> None:
        if self._at is not None:
            moved, turned = point - self._at, gradient - self._gradient
            curvature = float(moved @ turned)
            if curvature > _CURVATURE * float(turned @ turned):
                self._pairs.append((moved, turned, 1 / curvature))
        self._at, self._loss, self._gradient, self._length = point, loss, gradient, 1.0
        # A direction that does not go down belongs to a curvature that no longer holds: forget it.
        self._direction = self._downhill()
        if float(self._direction @ gradient) >= 0:
            self._pairs.clear()
            self._direction = self._downhill()
        self._direction *= (self._longest / self._direction.norm().clamp_min(1e-12)).clamp(max=1.0)

    def _downhill(self) -> Tensor:
        """Minus the inverse Hessian, as the past steps show it, times the gradient."""
        # First loop, latest pair first: what each past step explains of the gradient is taken out of it.
        direction, shares = self._gradient.clone(), []
        for moved, turned, rho in reversed(self._pairs):
            share = rho * (moved @ direction)
            direction.addcmul_(turned, share, value=-1)  # no copy of its size is made
            shares.append(share)
        # The inverse Hessian to begin with: a multiple of the identity, of the size the latest pair suggests.
        if self._pairs:
            moved, turned, rho = self._pairs[-1]
            direction /= rho * (turned @ turned)
        else:
            direction *= self._first / direction.norm().clamp_min(1e-12)
        # Second loop, earliest pair first: it is put back in, scaled by the curvature along that step.
        for (moved, turned, rho), share in zip(self._pairs, reversed(shares), strict=True):
            direction.addcmul_(moved, share - rho * (turned @ direction))
        return -direction
