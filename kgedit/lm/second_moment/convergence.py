"""How settled a second moment C is: the change of C^-1 k, along which an edit writes, between two halves of the text.

The write for a key k lies along C^-1 k (ROME, Meng et al., 2022, eq. 2). If two halves of the text give different
directions, more text would give another one still, so there was not enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kgedit.lm.second_moment.matrix import ridged_factor

SAMPLE_KEYS = 200  # keys of the text whose directions are compared
# For independent tokens, n / 2 in each half, and keys of d dimensions the change would be about 2 sqrt(d / n): a tenth
# at 400 tokens a dimension, three tenths at 45. Tokens of a text are not independent; real texts need more.
_SETTLED, _ENOUGH = 0.1, 0.3


@dataclass(frozen=True)
class HalvesChange:
    """What two halves of the text say of the same keys.

    Attributes:
        tokens: Number of tokens in both halves.
        changes: Layer -> median over the sample keys of ||x1 - x2|| / ||(x1 + x2) / 2||, x = C^-1 k of each half.
    """

    tokens: int
    changes: Mapping[int, float]

    @property
    def largest(self) -> float:
        """The change of the layer that is least settled."""
        return max(self.changes.values())

    @property
    def verdict(self) -> Literal["settled", "enough", "too little text"]:
        """Whether more text would change edits."""
        if self.largest <= _SETTLED:
            return "settled"
        return "enough" if self.largest <= _ENOUGH else "too little text"


def relative_change(first: Tensor, second: Tensor, keys: Tensor) -> float:
    """Median over keys of the relative change of C^-1 k between two second moments.

    Args:
        first: (d_ff, d_ff) float64, C of one half.
        second: C of the other.
        keys: (n, d_ff).

    Returns:
        The change; infinite where a half cannot be solved with.
    """
    solved = []
    for moment in (first, second):
        found = ridged_factor(moment)
        if found is None:
            return float("inf")
        solved.append(torch.cholesky_solve(keys.to(moment).T, found[0]))  # (d_ff, n)
    mean = (solved[0] + solved[1]) / 2
    changes = (solved[0] - solved[1]).norm(dim=0) / mean.norm(dim=0)  # (n,)
    return float(changes.median())
