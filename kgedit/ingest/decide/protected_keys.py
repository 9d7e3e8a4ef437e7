"""Keys that a write must leave alone: facts of the unedited model, and changes accepted earlier.

The closed form asks a second moment C which directions are dear. C of running text is dominated by common tokens; what
many kept edits destroy are the keys at the last tokens of other subjects. So they are added to C:

    C' = C + a s/h H^T H + b s/k K^T K,   H keys of many known facts, K of changes in force; s, h, k mean diagonals

so a = 1 makes the facts together, and b = 1 each change, as dear as all of C. C + a s/h H^T H is formed once; K
changes with every batch and enters through the Woodbury identity. docs/methods.md, "Protecting keys".
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.methods.engine.closed_form import Moment
from kgedit.methods.engine.metric import scale_of

Asked = tuple[str, str]  # template with one "{}", subject


class HeldMoment:
    """C' of one layer, as the closed form wants it."""

    def __init__(self, base: Moment, keys: Tensor, weight: float) -> None:
        """Hold further keys.

        Args:
            base: What is solved with when there are no keys.
            keys: (n, d_ff) keys to leave alone; n may be 0.
            weight: b, how dear each is.
        """
        wide = keys.double()
        # The keys at the scale of C, K sqrt(s/k), and what the Woodbury identity inverts, I / b + K C^-1 K^T.
        size = wide.square().mean().clamp_min(1e-30).sqrt() if len(wide) else 1.0
        self._base, self._keys = base, wide / size * scale_of(base) ** 0.5
        solved = base.solve(self._keys).double() if len(keys) else self._keys  # (n, d_ff)
        small = torch.eye(len(keys), dtype=torch.float64) / weight + self._keys @ solved.T  # (n, n)
        self._solved, self._factor = solved, torch.linalg.cholesky(small)

    def solve(self, keys: Tensor) -> Tensor:
        """Rows k^T -> rows (C'^-1 k)^T, both (m, d_ff), float64."""
        plain = self._base.solve(keys).double().cpu()  # (m, d_ff)
        if not len(self._keys):
            return plain
        inner = torch.cholesky_solve(self._keys @ plain.T, self._factor)  # (n, m)
        return plain - inner.T @ self._solved


def with_facts(moment: Moment, keys: Tensor, weight: float) -> Moment:
    """C + a s/h H^T H of one layer; a moment without statistics stays as it is.

    Args:
        moment: The layer's second moment.
        keys: (n, d_ff) H.
        weight: a.
    """
    if not isinstance(moment, SecondMoment) or not len(keys) or weight == 0:
        return moment
    wide = keys.double()
    held = wide.T @ wide / len(wide)  # (d_ff, d_ff)
    plain = moment.matrix.double()
    both = plain + weight * held * (scale_of(moment) / held.diagonal().mean())
    return replace(moment, matrix=both)
