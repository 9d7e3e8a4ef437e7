"""The loop that trains an editor: steps, looks at held-out edits, early stop, checkpoints to go on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from kgedit.methods.engine.training_checkpoint import TrainingCheckpoint
from kgedit.progress import Progress

Trained = TypeVar("Trained", bound=nn.Module)
AT_TIME_LIMIT = "at the time limit"  # how a training ended that goes on with more time


@dataclass
class TrainingLoop(Generic[Trained]):
    """A training of so many steps at most.

    Attributes:
        name: Of the method, for progress.
        trained: What is trained; a copy of it is kept as it was at its best.
        optimizer: What trains it.
        steps: The most steps.
        check_every: Steps between two looks at held-out edits.
        patience: It ends when no look has been better for so many steps.
        checkpoint: Where the state of an unfinished training lies.
        others: Name -> further modules whose state belongs to the training.
        progress: Called with (what, done, total).
    """

    name: str
    trained: Trained
    optimizer: torch.optim.Optimizer
    steps: int
    check_every: int
    patience: int
    checkpoint: TrainingCheckpoint
    others: Mapping[str, nn.Module] = field(default_factory=dict)
    progress: Progress | None = None

    def run(
        self, step: Callable[[int], None], look: Callable[[], dict[str, Any]], minutes: float
    ) -> tuple[Trained, dict[str, Any]]:
        """Train; returns what was best, and what was measured.

        Args:
            step: Takes one step; it draws by its number, so that a stopped training goes on with the same edits.
            look: What held-out edits say of `trained` as it is, plain JSON with a "score".
            minutes: The most time, that of earlier calls of the same training included; the first look is waited for.
        """
        best = deepcopy(self.trained)
        modules: dict[str, nn.Module] = {**self.others, "trained": self.trained, "best": best}
        state = self.checkpoint.read(modules, self.optimizer)
        state = state or {"step": 0, "seconds": 0.0, "held_out": None, "best_step": 0}
        began, ended = time.monotonic() - state["seconds"], "after all steps"
        for number in range(state["step"], self.steps):
            spent = time.monotonic() - began
            if self.progress:
                # As many steps as the time allows at the pace so far.
                within = int(number * 60 * minutes / spent) if number and spent else self.steps
                self.progress(f"training {self.name}", number, max(number, min(self.steps, within)))
            step(number)
            done = number + 1
            # Looks at held-out edits come at the same steps in every training: an objective may change with them.
            looks = done % self.check_every == 0 or done == self.steps
            if looks:
                looked = look()
                if state["held_out"] is None or looked["score"] > state["held_out"]["score"]:
                    best.load_state_dict(self.trained.state_dict())
                    state |= {"held_out": looked, "best_step": done}
            state |= {"step": done, "seconds": time.monotonic() - began}
            # Time is up at any step, once there is a best to return.
            over = state["seconds"] >= 60 * minutes and state["held_out"] is not None and done < self.steps
            if looks or over:
                self.checkpoint.write(modules, self.optimizer, state)
            if looks and done - state["best_step"] >= self.patience:
                ended = "early"
                break
            if over:
                ended = AT_TIME_LIMIT
                break
        if ended != AT_TIME_LIMIT:
            self.checkpoint.remove()
        figures = {"steps": state["step"], "best_step": state["best_step"], "ended": ended}
        return best, figures | {"held_out": state["held_out"], "minutes": round(state["seconds"] / 60, 1)}
