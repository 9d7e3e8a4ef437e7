"""Gradients of texts at the matrices that count: held for questions, multiplied away at once for training texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.attribution.texts import TrainingTexts
from kgedit.methods.engine.edit_gradient import EditedMatrix, ScoredTexts, edit_gradient
from kgedit.progress import Progress

Vectors = Mapping[str, Tensor]
"""Name of a matrix -> (vectors, d_out, d_in): so many vectors of the space of all parameters that count."""

EPSILON = 1e-12  # keeps a text without gradient from dividing by zero
_DENSE = 2**26  # entries of the gradients that are held at a time


def question_gradients(model: PreTrainedModel, matrices: Sequence[EditedMatrix], texts: ScoredTexts) -> Vectors:
    """The gradient of the mean log-probability of each text's wanted tokens, (texts, d_out, d_in) float32."""
    factors = edit_gradient(model, matrices, texts)
    return {name: -(delta.mT @ u) for name, (u, delta) in factors.items()}


def dense_gradients(u: Tensor, delta: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The gradients that factors stand for, some texts at a time.

    Args:
        u: (texts, tokens, d_in).
        delta: (texts, tokens, d_out).

    Yields:
        Which texts, and their gradients (some, d_out, d_in).
    """
    step = max(1, _DENSE // (u.shape[-1] * delta.shape[-1]))
    for start in range(0, len(u), step):
        some = slice(start, start + step)
        yield some, delta[some].mT @ u[some]


def products(
    model: PreTrainedModel,
    matrices: Sequence[EditedMatrix],
    texts: TrainingTexts,
    vectors: Vectors,
    count: int,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Products of vectors with the gradient of each text's mean log-probability, in one pass over the texts.

    Args:
        model: The model, frozen by the caller.
        matrices: The matrices that count.
        texts: The texts.
        vectors: (vectors, d_out, d_in) for each matrix.
        count: Number of all texts; those without a row get zeros.
        progress: Called with (what, done, total).

    Returns:
        (vectors, count) products and (count,) norms of the texts' gradients, float32 on the CPU.
    """
    flat = {name: vector.flatten(1) for name, vector in vectors.items()}  # (vectors, d_out * d_in)
    found = torch.zeros(len(next(iter(flat.values()))), count, dtype=torch.float32)
    squares = torch.zeros(count, dtype=torch.float32)
    done = 0
    for numbers, batch in texts.batches():
        if progress:
            progress("gradients of texts", done, len(texts.rows))
        for name, (u, delta) in edit_gradient(model, matrices, batch).items():
            for some, gradients in dense_gradients(u, delta):
                rows = -gradients.flatten(1)  # (some, d_out * d_in)
                found[:, numbers[some]] += (flat[name] @ rows.T).cpu()
                squares[numbers[some]] += rows.square().sum(-1).cpu()
        done += len(numbers)
    if progress:
        progress("gradients of texts", done, done)
    return found, squares.sqrt()


def norms(vectors: Vectors) -> Tensor:
    """The length of each vector over all matrices, (vectors,)."""
    return torch.stack([vector.flatten(1).square().sum(-1) for vector in vectors.values()]).sum(0).sqrt()
