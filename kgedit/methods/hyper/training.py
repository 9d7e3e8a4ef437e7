"""Training of a hypernetwork: what a step and a look at held-out edits are; `TrainingLoop` repeats them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch

from kgedit.errors import EditDiverged
from kgedit.methods.engine.edit_gradient import EditedMatrix
from kgedit.methods.engine.training_checkpoint import TrainingCheckpoint
from kgedit.methods.engine.training_loop import TrainingLoop
from kgedit.methods.hyper.config import HyperSettings
from kgedit.methods.hyper.course import Course, Looked
from kgedit.methods.hyper.network import Hypernetwork, TrainingObjective
from kgedit.progress import Progress


@dataclass
class HyperTraining:
    """A training.

    Attributes:
        name: Of the method.
        config: Its hyper-parameters.
        network: What is trained.
        objective: What it is trained by.
        optimizer: Of the parameters of both.
        rate: Share of the training that is over -> share of the learning rate that is used.
        matrices: Where edits change the model.
        course: Draws and computes steps.
        held_out: The same for held-out edits.
        checkpoint: Where the state of an unfinished training lies.
        seed: Of what each step draws.
        progress: Called with (what, done, total).
    """

    name: str
    config: HyperSettings
    network: Hypernetwork
    objective: TrainingObjective
    optimizer: torch.optim.Optimizer
    rate: Callable[[float], float]
    matrices: Sequence[EditedMatrix]
    course: Course
    held_out: Course
    checkpoint: TrainingCheckpoint
    seed: int
    progress: Progress | None

    def run(self, minutes: float) -> tuple[Hypernetwork, dict[str, Any]]:
        """The best network of the training, and what was measured; see `TrainingLoop.run`.

        Raises:
            EditDiverged: A loss is NaN or infinite.
        """
        config = self.config
        loop = TrainingLoop(
            self.name, self.network, self.optimizer, config.training_steps, config.check_every, config.patience,
            self.checkpoint, {"objective": self.objective}, self.progress,
        )  # fmt: skip
        rates = [group["lr"] for group in self.optimizer.param_groups]

        def step(number: int) -> None:
            drawn = self.course.draw(random.Random(f"{self.seed} {number}"))
            loss, _ = self.course.loss(self.network, self.objective, self.matrices, drawn, observe=True)
            if not bool(torch.isfinite(loss)):
                raise EditDiverged(
                    f"the loss of {self.name} is {float(loss.detach())} at step {number} of its training; lower its "
                    "learning rate, or load the model in float32"
                )
            for group, most in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = most * self.rate(number / config.training_steps)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
            self.optimizer.step()
            self.objective.bounded()

        def look() -> dict[str, Any]:
            looked = self.look()
            self.objective.looked(looked.taken)
            return asdict(looked) | {"score": looked.score}

        return loop.run(step, look, minutes)

    @torch.no_grad()
    def look(self) -> Looked:
        """What held-out edits say of the network as it is; the same edits and questions every time."""
        rng, size = random.Random(f"held out {self.seed}"), self.config.edits
        lessons = self.held_out.lessons[: self.config.held_out]
        looks = []
        for start in range(0, len(lessons), size):
            drawn = self.held_out.of(lessons[start : start + size], rng)
            looks += [self.held_out.loss(self.network, self.objective, self.matrices, drawn)[1]] * len(drawn.edits)
        return Looked(*(fmean(values) for values in zip(*((x.taken, x.reworded, x.kept) for x in looks), strict=True)))
