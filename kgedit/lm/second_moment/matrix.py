"""The second moment C = E[k k^T] of a layer's keys, and linear systems with it (ROME, Meng et al., 2022)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kgedit.errors import IllConditioned

_log = logging.getLogger(__name__)

LEAST_RIDGE = 1e-6  # share of the mean diagonal
_LARGER_RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # tried in turn where that does not do
_WORST_CONDITION = 1e13  # beyond it, a float64 solve has no digit to rely on
_BAND = 512  # rows that are made symmetric at a time
TOKENS_ADVISED = 10  # for each dimension of the key


@dataclass(frozen=True, eq=False)
class SecondMoment:
    """Statistics of one layer.

    Attributes:
        layer: Block index.
        matrix: (d_ff, d_ff) float32, E[k k^T], not centred.
        count: Number of tokens it was taken over.
        key: What it belongs to: weights below the layer's W, corpus, length, whether first tokens were
            left out.
        ridge: What is added to C where a system with it is solved, as a share of its mean diagonal; 0 as published.
    """

    layer: int
    matrix: Tensor
    count: int
    key: str
    ridge: float = LEAST_RIDGE

    @property
    def origin(self) -> str:
        """The part of the key that says which texts it was taken over, and how."""
        return " ".join(part for part in self.key.split() if not part.startswith("weights="))

    @property
    def advised(self) -> int:
        """How many tokens it should be taken over at least."""
        return TOKENS_ADVISED * len(self.matrix)

    def solve(self, keys: Tensor) -> Tensor:
        """Solve C x = k for every row by Cholesky in float64.

        The ridge is added to C, a larger one if that does not make it positive definite. The factor is kept for
        the next call.

        Args:
            keys: (n, d_ff).

        Returns:
            (n, d_ff) float64 on the device of the keys.

        Raises:
            IllConditioned: C is singular or not finite even with the largest ridge, or a key is not finite.
        """
        if not torch.isfinite(keys).all():
            raise IllConditioned(f"a key of layer {self.layer} is not finite; load the model in float32 or bfloat16")
        wide = keys.to(device=self.matrix.device, dtype=torch.float64)
        # Two triangular solves, since torch.cholesky_solve copies the factor at each call.
        half = torch.linalg.solve_triangular(self._factor, wide.T, upper=False)  # (d_ff, n)
        solved: Tensor = torch.linalg.solve_triangular(self._factor.T, half, upper=True).T  # (n, d_ff)
        return solved.to(keys.device)

    @cached_property
    def _factor(self) -> Tensor:
        """Lower Cholesky factor of C with ridge, (d_ff, d_ff) float64."""
        scale = float(self.matrix.diagonal().double().mean())
        # Not `isfinite` of the whole, which makes further matrices of that size.
        if not torch.stack(torch.aminmax(self.matrix)).isfinite().all() or scale <= 0:
            raise IllConditioned(
                f"the second moment of layer {self.layer} is zero or not finite (mean diagonal {scale:g}); "
                "collect it anew, with the model in float32 or bfloat16"
            )
        found = ridged_factor(self.matrix, self.ridge)
        if found is not None:
            factor, ridge, condition = found
            self._warn(ridge, condition)
            return factor
        wide = self.matrix.double()
        wide.diagonal().add_(_LARGER_RIDGES[-1] * scale)
        spectrum = torch.linalg.eigvalsh(wide)
        raise IllConditioned(
            f"the second moment of layer {self.layer} over {self.count} tokens cannot be solved with: "
            f"eigenvalues from {float(spectrum[0]):.3g} to {float(spectrum[-1]):.3g} even with a ridge of "
            f"{_LARGER_RIDGES[-1]:g}; "
            f"collect it over at least {self.advised} tokens"
        )

    def _warn(self, ridge: float, condition: float) -> None:
        if ridge > self.ridge or self.count < self.advised:
            _log.warning(
                "the second moment of layer %d is weak: %d tokens where %d or more are advised, ridge %g, "
                "condition number at least %.2g; collect it from more text",
                self.layer,
                self.count,
                self.advised,
                ridge,
                condition,
            )


def _symmetric(moment: Tensor) -> Tensor:
    """(C + C^T) / 2 in float64, in the order of LAPACK (columns), right on and below the diagonal; in bands."""
    wide = moment.double().T if moment.dtype != torch.float64 else moment.clone().T
    for start in range(0, len(wide), _BAND):
        end = start + _BAND
        wide[start:end, :end] += wide[:end, start:end].T.clone()
        wide[start:end, :end] /= 2
    return wide


def ridged_factor(moment: Tensor, least: float = LEAST_RIDGE) -> tuple[Tensor, float, float] | None:
    """The factor of C with the smallest ridge with which C is positive definite and well enough conditioned.

    Args:
        moment: (d_ff, d_ff), C; left as it is.
        least: The ridge that is tried first.

    Returns:
        Lower Cholesky factor, the ridge as a share of the mean diagonal, and a lower bound of the condition number;
        None if no ridge is enough.
    """
    scale = float(moment.diagonal().double().mean())
    for ridge in (least, *(larger for larger in _LARGER_RIDGES if larger > least)):
        # The factor takes the place of C + ridge: beside C one such matrix exists at a time.
        factor = _symmetric(moment)
        factor.diagonal().add_(ridge * scale)
        failed = torch.empty((), dtype=torch.int32, device=factor.device)
        torch.linalg.cholesky_ex(factor, out=(factor, failed))
        if failed:
            continue
        # The squared ratio of the factor's pivots is a lower bound of the condition number.
        pivots = factor.diagonal()
        condition = float((pivots.max() / pivots.min()) ** 2)
        if condition <= _WORST_CONDITION:
            return factor, ridge, condition
    return None
