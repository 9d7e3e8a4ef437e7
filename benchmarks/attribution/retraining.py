"""Training of the bundled model on planted sentences, whole and without some of them: a fixed schedule, no dropout."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.attribution import ModelCheckpoint
from kgedit.attribution.texts import TrainingTexts
from kgedit.lm.padding import pad_id
from kgedit.methods.engine.edit_gradient import ScoredTexts

BATCH = 24  # sentences in a step


@dataclass(frozen=True)
class Schedule:
    """How the model is trained on.

    Attributes:
        optimizer: "adam", as the bundled model was trained, or "sgd", which TracIn is made for.
        rate: The learning rate, the same in all steps.
        epochs: Passes over the sentences.
        seed: Of their order.
    """

    optimizer: str
    rate: float
    epochs: int
    seed: int


class Retraining:
    """Trains from the same start again and again."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], schedule: Schedule
    ) -> None:
        """Keep the start.

        Args:
            model: The model, whose weights are written.
            tokenizer: Its tokenizer.
            texts: All sentences.
            schedule: How it is trained.
        """
        self.model, self.schedule = model, schedule
        self.start = self.weights()
        self._rows = TrainingTexts(model, tokenizer, texts, 1).rows
        self._fill = pad_id(tokenizer)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights."""
        return {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}

    def run(self, left_out: Collection[int] = (), kept: list[dict[str, Tensor]] | None = None) -> None:
        """Train from the start, without some sentences.

        Every step has the sentences that it has in the whole training, less those left out, and divides by the same
        number, so that nothing but the sentences differs.

        Args:
            left_out: Numbers of sentences.
            kept: Receives the weights at the beginning of each pass.
        """
        self.load(self.start)
        rng = random.Random(self.schedule.seed)
        parameters = list(self.model.parameters())
        if self.schedule.optimizer == "adam":
            optimizer: torch.optim.Optimizer = torch.optim.Adam(parameters, self.schedule.rate, betas=(0.9, 0.98))
        else:
            optimizer = torch.optim.SGD(parameters, self.schedule.rate)
        for _ in range(self.schedule.epochs):
            if kept is not None:
                kept.append(self.weights())
            order = rng.sample(sorted(self._rows), len(self._rows))
            for start in range(0, len(order), BATCH):
                step = [number for number in order[start : start + BATCH] if number not in left_out]
                if step:
                    batch = ScoredTexts([self._rows[number] for number in step], self._fill, self.model.device)
                    losses = batch.losses(batch.logits(self.model, batch.text_of, batch.column))
                    (losses.sum() / BATCH).backward()
                    optimizer.step()
                    optimizer.zero_grad()

    def load(self, weights: dict[str, Tensor]) -> None:
        """Write weights into the model."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(weights[name])

    def checkpoints(self, kept: Sequence[dict[str, Tensor]]) -> Iterator[ModelCheckpoint]:
        """The model with the weights at the beginning of each pass, one after the other; the last stay in it."""
        for weights in kept:
            self.load(weights)
            yield ModelCheckpoint(self.model, self.schedule.rate)
