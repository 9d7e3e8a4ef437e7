"""EK-FAC: the inverse Hessian by Kronecker factors (George et al., 2018, equation 13; Grosse et al., 2023).

For a matrix that takes u and has the gradient delta at its output, A = E[u u^T] and S = E[delta delta^T] over tokens.
With their eigenvectors Q_A and Q_S, the Hessian is taken to be diagonal in the basis of the products of these, with
the second moments of the rotated gradients on its diagonal: Lambda = E[(Q_S^T G Q_A)^2] over texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from kgedit.attribution.gradients import Vectors, dense_gradients
from kgedit.methods.engine.edit_gradient import Changes
from kgedit.progress import Progress

Sweep = Callable[[str], Iterable[tuple[Tensor, Changes]]]
"""Given what is being done, goes through all texts: the mask (texts, tokens) and the factors of each batch."""


@dataclass(frozen=True)
class EigenBasis:
    """The approximated Hessian of one matrix.

    Attributes:
        inputs: Q_A, (d_in, d_in), eigenvectors in columns.
        outputs: Q_S, (d_out, d_out).
        values: Lambda, (d_out, d_in).
    """

    inputs: Tensor
    outputs: Tensor
    values: Tensor

    def solved(self, vectors: Tensor, damping: float) -> Tensor:
        """(H + lambda I)^-1 V for each of some vectors, (vectors, d_out, d_in).

        Args:
            vectors: (vectors, d_out, d_in).
            damping: lambda, in units of the mean of Lambda.
        """
        rotated = self.outputs.T @ vectors @ self.inputs  # (vectors, d_out, d_in)
        # Without any curvature at all the vectors stay as they are.
        shift = damping * float(self.values.mean()) or 1.0
        return self.outputs @ (rotated / (self.values + shift)) @ self.inputs.T


def eigen_bases(sweep: Sweep, progress: Progress | None = None) -> dict[str, EigenBasis]:
    """The approximated Hessian of each matrix, in two passes over the texts.

    Args:
        sweep: Gives gradients under labels that the model draws, the same in each pass; see `sampled_gradients`.
        progress: Called with (what, done, total) while eigenvectors are computed.
    """
    # First pass: the Kronecker factors A and S.
    moments: dict[str, tuple[Tensor, Tensor]] = {}
    tokens = 0
    for mask, factors in sweep("Kronecker factors, texts"):
        tokens += int(mask.sum())
        for name, (u, delta) in factors.items():
            both = tuple(part.flatten(0, 1).T @ part.flatten(0, 1) for part in (u, delta))  # (d, d) each
            held = moments.get(name)
            moments[name] = (held[0] + both[0], held[1] + both[1]) if held else (both[0], both[1])
    # Their eigenvectors; each factor is dropped as soon as it has been used.
    bases: dict[str, tuple[Tensor, Tensor]] = {}
    for number, name in enumerate(list(moments)):
        if progress:
            progress("eigenvectors, matrices", number, len(moments) + number)
        a, s = moments.pop(name)
        bases[name] = (torch.linalg.eigh(a / tokens)[1], torch.linalg.eigh(s / tokens)[1])
    # Second pass: the eigenvalues in that basis.
    values: dict[str, Tensor] = {}
    count = 0
    for mask, factors in sweep("eigenvalues, texts"):
        count += len(mask)
        for name, (u, delta) in factors.items():
            inputs, outputs = bases[name]
            total = values.setdefault(name, u.new_zeros(delta.shape[-1], u.shape[-1]))
            for _, gradients in dense_gradients(u @ inputs, delta @ outputs):
                total += gradients.square().sum(0)  # (d_out, d_in)
    return {name: EigenBasis(*bases[name], total / count) for name, total in values.items()}


def ekfac_solved(bases: dict[str, EigenBasis], vectors: Vectors, damping: float) -> Vectors:
    """(H + lambda I)^-1 V, matrix by matrix."""
    return {name: bases[name].solved(vector, damping) for name, vector in vectors.items()}
