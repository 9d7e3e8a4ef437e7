"""Influence functions: gradients of questions, multiplied by the inverse of the damped Hessian of the training texts.

The influence of a text z on the log-probability of an answer q is g_q^T (H + lambda I)^-1 g_z, with g the gradients of
log-probabilities (Koh and Liang, 2017, equation 2). H is the Gauss-Newton matrix, which has no negative eigenvalues.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.attribution.conjugate_gradients import Vector, conjugate_gradients
from kgedit.attribution.ekfac import eigen_bases, ekfac_solved
from kgedit.attribution.gauss_newton import gauss_newton_product
from kgedit.attribution.gradients import Vectors, dense_gradients
from kgedit.attribution.sampled import sampled_gradients
from kgedit.attribution.settings import AttributionSettings
from kgedit.attribution.texts import TrainingTexts
from kgedit.methods.engine.edit_gradient import Changes, EditedMatrix
from kgedit.progress import Progress


class Curvature:
    """The Hessian of some of the training texts, in two ways: by its products, and by Kronecker factors."""

    def __init__(
        self,
        model: PreTrainedModel,
        matrices: Sequence[EditedMatrix],
        texts: TrainingTexts,
        settings: AttributionSettings,
        progress: Progress | None,
    ) -> None:
        """Draw the texts; nothing is computed yet.

        Args:
            model: The model, frozen by the caller; gradients are enabled.
            matrices: The matrices that count.
            texts: The training texts.
            settings: Number of texts, dampings, steps.
            progress: Called with (what, done, total).
        """
        self._model, self._matrices, self._texts, self._settings = model, matrices, texts, settings
        self._progress = progress
        count = min(settings.curvature_texts, len(texts.rows))
        self._chosen = sorted(random.Random(settings.seed).sample(sorted(texts.rows), count))

    def ekfac(self, gradients: Vectors) -> Vectors:
        """(H + lambda I)^-1 g by EK-FAC, (questions, d_out, d_in) for each matrix."""
        bases = eigen_bases(self._sweep, self._progress)
        return ekfac_solved(bases, gradients, self._settings.ekfac_damping)

    def influence(self, gradients: Vectors) -> tuple[Vectors, list[float | None]]:
        """(H + lambda I)^-1 g by conjugate gradients, one question after the other, and what each left of g."""
        damping = self._settings.damping * self._mean_diagonal() or 1.0
        questions = len(next(iter(gradients.values())))
        total = questions * self._settings.iterations
        solved: list[dict[str, Tensor]] = []
        residuals: list[float | None] = []
        steps = 0

        def product(vector: Vector) -> Vector:
            nonlocal steps
            if self._progress:
                self._progress("conjugate gradients", steps, total)
            steps += 1
            return gauss_newton_product(self._model, self._matrices, self._texts, self._chosen, vector)

        for number in range(questions):
            steps = number * self._settings.iterations
            right = {name: part[number] for name, part in gradients.items()}
            x, residual = conjugate_gradients(product, right, damping, iterations=self._settings.iterations)
            solved.append(x)
            residuals.append(residual)
        if self._progress:
            self._progress("conjugate gradients", total, total)
        return {name: torch.stack([x[name] for x in solved]) for name in gradients}, residuals

    def _mean_diagonal(self) -> float:
        """The mean of the diagonal of H over all matrices: that of squared gradients under drawn labels."""
        squares = 0.0
        for _, factors in self._sweep("curvature, texts"):
            for u, delta in factors.values():
                squares += sum(float(some.square().sum()) for _, some in dense_gradients(u, delta))
        entries = sum(matrix.shape[0] * matrix.shape[1] for matrix in self._matrices)
        return squares / entries / len(self._chosen)

    def _sweep(self, what: str) -> Iterator[tuple[Tensor, Changes]]:
        found = sampled_gradients(
            self._model,
            self._matrices,
            self._texts,
            self._chosen,
            seed=self._settings.seed,
            what=what,
            progress=self._progress,
        )
        for batch, factors in found:
            yield batch.mask, factors
