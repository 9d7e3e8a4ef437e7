"""The training loop: a time limit is kept between two looks as well, and what goes on looks where it would have."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kgedit.methods.engine.training_checkpoint import TrainingCheckpoint
from kgedit.methods.engine.training_loop import TrainingLoop


def trained(
    file: Path, *, minutes: float, seconds: float = 0.0, steps: int = 40
) -> tuple[float, list[int], dict[str, Any]]:
    """The best value of a number that grows by one a step, the steps that were looked at, and what was measured.

    Steps behind the first look, at the tenth, take so many seconds.
    """
    number = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(number.weight)
    looked: list[int] = []

    def step(before: int) -> None:
        time.sleep(seconds if before >= 10 else 0)
        with torch.no_grad():
            number.weight += 1

    def look() -> dict[str, float]:
        looked.append(int(number.weight.item()))
        return {"score": number.weight.item()}

    sgd = torch.optim.SGD(number.parameters())
    loop = TrainingLoop("counting", number, sgd, steps, 10, 40, TrainingCheckpoint(file))
    best, figures = loop.run(step, look, minutes)
    return best.weight.item(), looked, figures


def test_the_clock_is_looked_at_after_every_step_once_there_is_a_best(tmp_path: Path) -> None:
    file = tmp_path / "training.part"
    best, looked, figures = trained(file, minutes=0.2 / 60, seconds=0.05)
    assert (best, looked) == (10, [10])
    assert (figures["ended"], figures["best_step"]) == ("at the time limit", 10)
    assert figures["steps"] < 20
    # It goes on behind its last step, and looks when a training that was never stopped would.
    best, looked, figures = trained(file, minutes=1)
    assert (best, looked) == (40, [20, 30, 40])
    assert (figures["ended"], figures["steps"]) == ("after all steps", 40)
    assert not file.exists()


def test_a_training_that_has_no_step_left_when_its_time_is_up_is_finished(tmp_path: Path) -> None:
    file = tmp_path / "training.part"
    best, _, figures = trained(file, minutes=1e-9, steps=10)
    assert (best, figures["ended"]) == (10, "after all steps")
    assert not file.exists()
