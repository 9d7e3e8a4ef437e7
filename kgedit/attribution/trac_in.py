"""TracIn: products of gradients, summed over checkpoints of the training (Pruthi et al., 2020, equation 2).

A step of gradient descent on a text with learning rate eta raises the log-probability of an answer by eta times the
product of their gradients. Without checkpoints the finished model stands for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.attribution.gradients import products, question_gradients
from kgedit.attribution.texts import TrainingTexts
from kgedit.errors import UnsupportedModel
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.methods.engine.edit_gradient import ScoredTexts, mlp_matrices
from kgedit.progress import Progress


class ModelCheckpoint(NamedTuple):
    """The model as it was at one time of its training, and the learning rate then."""

    model: PreTrainedModel
    rate: float


def checked_checkpoints(checkpoints: Iterable[ModelCheckpoint], model: PreTrainedModel) -> Iterator[ModelCheckpoint]:
    """The checkpoints of a model, one after the other.

    Raises:
        UnsupportedModel: One is of another model: its vocabulary, family or depth is another.
    """

    def build(one: PreTrainedModel) -> tuple[str, int, int]:
        vocabulary = len(one.get_input_embeddings().weight)  # type: ignore[arg-type]
        return one.config.model_type, vocabulary, anatomy_of(one).n_layers(one)

    for number, checkpoint in enumerate(checkpoints, start=1):
        if build(checkpoint.model) != build(model):
            raise UnsupportedModel(
                f"checkpoint {number} is of another model: {build(checkpoint.model)} instead of {build(model)} "
                "(family, vocabulary, blocks); give checkpoints of this model's own training"
            )
        yield checkpoint


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
    total = torch.zeros(len(questions.texts), count, dtype=torch.float32)
    for number, (model, rate) in enumerate(checkpoints, start=1):
        if progress:
            progress(f"checkpoint {number}", 0, 0)
        with frozen(model), torch.enable_grad():
            matrices = mlp_matrices(model, anatomy_of(model), layers, output_only=output_only)
            vectors = question_gradients(model, matrices, questions)
            total += rate * products(model, matrices, texts, vectors, count, progress)[0]
    return total
