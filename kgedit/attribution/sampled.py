"""Gradients of texts whose labels the model draws itself: their second moment is the Gauss-Newton matrix.

For the mean loss of a text of n tokens the Gauss-Newton matrix is (1/n) E[g g^T], with g the gradient of the summed
loss under drawn labels: tokens are independent of each other given the text, so mixed terms vanish. What is given
here is therefore g / sqrt(n).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.attribution.texts import TrainingTexts
from kgedit.methods.engine.edit_gradient import Changes, EditedMatrix, ScoredTexts, edit_gradient
from kgedit.progress import Progress


def sampled_gradients(
    model: PreTrainedModel,
    matrices: Sequence[EditedMatrix],
    texts: TrainingTexts,
    chosen: Sequence[int],
    *,
    seed: int,
    what: str,
    progress: Progress | None = None,
) -> Iterator[tuple[ScoredTexts, Changes]]:
    """Batches of texts with the factors of g / sqrt(n) for each text; the same seed draws the same labels.

    Args:
        model: The model, frozen by the caller; gradients are enabled.
        matrices: The matrices that count.
        texts: The texts.
        chosen: Numbers of those that are used.
        seed: Of the labels.
        what: What `progress` is told.
        progress: Called with (what, done, total).

    Yields:
        The batch, and u (texts, tokens, d_in) with delta (texts, tokens, d_out) of each matrix.
    """
    generator = torch.Generator().manual_seed(seed)
    done = 0
    for numbers, batch in texts.batches(chosen):
        if progress:
            progress(what, done, len(chosen))
        batch.token = _drawn(model, batch, generator)
        lengths = [len(texts.rows[number][1]) for number in numbers]
        root = torch.tensor(lengths, dtype=torch.float32, device=batch.ids.device).sqrt()  # (texts,)
        factors = edit_gradient(model, matrices, batch)  # of the mean over the tokens of a text
        yield batch, {name: (u, delta * root[:, None, None]) for name, (u, delta) in factors.items()}
        done += len(numbers)
    if progress:
        progress(what, done, done)


def _drawn(model: PreTrainedModel, batch: ScoredTexts, generator: torch.Generator) -> Tensor:
    """A token for each scored place, drawn from what the model says there, (scored,)."""
    with torch.no_grad():
        chances = batch.logits(model, batch.text_of, batch.column).softmax(-1)  # (scored, vocabulary)
    # On the CPU, whose generator gives the same numbers on every machine.
    return torch.multinomial(chances.cpu(), 1, generator=generator)[:, 0].to(batch.ids.device)
