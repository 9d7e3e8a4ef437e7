"""Products of the Gauss-Newton matrix with vectors, exact and without forming it.

H = (1/N) sum over texts of J^T B J: J is the derivative of the logits by the matrices that count, and B that of the
softmax loss by the logits, twice. J v comes from forward-mode derivatives, J^T w from the usual backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from kgedit.attribution.gradients import Vectors
from kgedit.attribution.texts import TrainingTexts
from kgedit.lm.hooks import add_at, capture
from kgedit.methods.engine.edit_gradient import EditedMatrix, ScoredTexts


def gauss_newton_product(
    model: PreTrainedModel,
    matrices: Sequence[EditedMatrix],
    texts: TrainingTexts,
    chosen: Sequence[int],
    vector: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """H v for the mean over some texts of their mean losses.

    Args:
        model: The model, frozen by the caller; gradients are enabled.
        matrices: The matrices that count.
        texts: The texts.
        chosen: Numbers of those that make up H.
        vector: v, (d_out, d_in) for each matrix.

    Returns:
        H v, shaped like v, float32.
    """
    total = {name: torch.zeros_like(part) for name, part in vector.items()}
    for _, batch in texts.batches(chosen):
        for name, part in _of_batch(model, matrices, batch, vector).items():
            total[name] += part / len(chosen)
    return total


def _of_batch(
    model: PreTrainedModel, matrices: Sequence[EditedMatrix], batch: ScoredTexts, vector: Mapping[str, Tensor]
) -> Vectors:
    """The sum over the texts of a batch."""
    rows = len(batch.ids)
    offsets = {
        matrix.name: torch.zeros(
            *batch.ids.shape, matrix.shape[0], dtype=torch.float32, device=batch.ids.device, requires_grad=True
        )
        for matrix in matrices
    }
    modules = {matrix.name: matrix.module for matrix in matrices}
    # The fast kernels of attention have no forward-mode derivative.
    with sdpa_kernel(SDPBackend.MATH), forward_ad.dual_level():
        with ExitStack() as stack:
            inputs = stack.enter_context(capture(modules, inputs=True, rows=rows))
            for name, module in modules.items():
                moved = partial(_moved, inputs, name, vector[name], offsets[name])
                stack.enter_context(add_at(module, moved, rows=rows))
            logits = batch.logits(model, batch.text_of, batch.column)  # (scored, vocabulary)
        plain, along = _parts(logits)  # z and J v
        read = {name: _parts(u)[0].float() for name, u in inputs.items()}
    # B J v: the derivative of the loss by the logits is p - y, so B = diag(p) - p p^T.
    p = plain.softmax(-1)
    curved = p * (along - (p * along).sum(-1, keepdim=True)) * batch.weight[:, None]  # (scored, vocabulary)
    gradients = torch.autograd.grad(logits, list(offsets.values()), grad_outputs=curved)
    token = batch.mask[:, :, None].float()  # (texts, longest, 1)
    return {
        name: torch.einsum("bto,bti->oi", gradient.float() * token, read[name])
        for name, gradient in zip(modules, gradients, strict=True)
    }


def _moved(inputs: Mapping[str, Tensor], name: str, vector: Tensor, offset: Tensor, output: Tensor) -> Tensor:
    """The output of a matrix that moves along a vector V: W u + (V u) epsilon, with an offset for the way back."""
    along = _parts(inputs[name])[0].to(vector.dtype) @ vector.T  # (texts, longest, d_out)
    return output + forward_ad.make_dual(offset, along)  # type: ignore[no-any-return, no-untyped-call]


def _parts(dual: Tensor) -> tuple[Tensor, Tensor]:
    """The value of a tensor, and its derivative along the vector; without one (the lowest matrix reads it), zeros."""
    value, derivative = forward_ad.unpack_dual(dual)  # type: ignore[no-untyped-call]
    return value.detach(), torch.zeros_like(value) if derivative is None else derivative.detach()
