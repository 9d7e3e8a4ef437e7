"""TracIn: products of gradients, summed over checkpoints of the training (Pruthi et al., 2020, equation 2).

A step of gradient descent on a text with learning rate eta raises the log-probability of an answer by eta times the
product of their gradients. Without checkpoints the finished model stands for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.attribution.gradients import products, question_gradients
from kgedit.attribution.texts import TrainingTexts
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.methods.engine.edit_gradient import ScoredTexts, mlp_matrices
from kgedit.progress import Progress


class ModelCheckpoint(NamedTuple):
    """The model as it was at one time of its training, and the learning rate then."""

    model: PreTrainedModel
    rate: float


def trac_in(
    checkpoints: Iterable[ModelCheckpoint],
    layers: Sequence[int],
    texts: TrainingTexts,
    questions: ScoredTexts,
    count: int,
    *,
    output_only: bool,
    progress: Progress | None = None,
) -> Tensor:
    """The score of each text for each question.

    Args:
        checkpoints: Gone through once; a generator may load one after the other.
        layers: Blocks whose MLP matrices count.
        texts: The texts.
        questions: The questions.
        count: Number of all texts.
        output_only: See `mlp_matrices`.
        progress: Called with (what, done, total).

    Returns:
        (questions, count), float32 on the CPU.
    """
    total = torch.zeros(len(questions.texts), count)
    for number, (model, rate) in enumerate(checkpoints, start=1):
        if progress:
            progress(f"checkpoint {number}", 0, 0)
        with frozen(model), torch.enable_grad():
            matrices = mlp_matrices(model, anatomy_of(model), layers, output_only=output_only)
            vectors = question_gradients(model, matrices, questions)
            total += rate * products(model, matrices, texts, vectors, count, progress)[0]
    return total
