"""Training of a hypernetwork: steps, looks at held-out edits, early stop, and checkpoints to go on from."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch

from kgedit.errors import EditDiverged
from kgedit.methods.engine.edit_gradient import EditedMatrix
from kgedit.methods.hyper.checkpoint import TrainingCheckpoint
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
        """The best network of the training, and what was measured.

        Args:
            minutes: The most time, that of earlier calls of the same training included.

        Raises:
            EditDiverged: A loss is NaN or infinite.
        """
        config, best = self.config, deepcopy(self.network)
        modules = {"network": self.network, "objective": self.objective, "best": best}
        rates = [group["lr"] for group in self.optimizer.param_groups]
        state = self.checkpoint.read(modules, self.optimizer)
        state = state or {"step": 0, "seconds": 0.0, "best": None, "best_step": 0}
        state["ended"] = "after all steps"
        began = time.monotonic() - state["seconds"]
        for step in range(state["step"], config.training_steps):
            if self.progress:
                self.progress(f"training {self.name}", step, config.training_steps)
            # Every step draws by its number, so that a training that was stopped goes on with the same edits.
            drawn = self.course.draw(random.Random(f"{self.seed} {step}"))
            loss, _ = self.course.loss(self.network, self.objective, self.matrices, drawn, observe=True)
            if not bool(torch.isfinite(loss)):
                raise EditDiverged(
                    f"the loss of {self.name} is {float(loss.detach())} at step {step} of its training; lower its "
                    "learning rate, or load the model in float32"
                )
            for group, most in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = most * self.rate(step / config.training_steps)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
            self.optimizer.step()
            self.objective.bounded()
            if (step + 1) % config.check_every and step + 1 < config.training_steps:
                continue
            # A look at held-out edits: the best network is kept, and the training ends when none is better for long.
            looked = self.look()
            self.objective.looked(looked.taken)
            state |= {"step": step + 1, "seconds": time.monotonic() - began}
            if state["best"] is None or looked.score > state["best"]["score"]:
                best.load_state_dict(self.network.state_dict())
                state |= {"best": asdict(looked) | {"score": looked.score}, "best_step": step + 1}
            self.checkpoint.write(modules, self.optimizer, state)
            if step + 1 - state["best_step"] >= config.patience:
                state["ended"] = "early"
                break
            if state["seconds"] >= 60 * minutes:
                state["ended"] = "at the time limit"
                break
        if state["ended"] != "at the time limit":
            self.checkpoint.remove()
        figures = {"steps": state["step"], "best_step": state["best_step"], "ended": state["ended"]}
        return best, figures | {"held_out": state["best"], "minutes": round(state["seconds"] / 60, 1)}

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
