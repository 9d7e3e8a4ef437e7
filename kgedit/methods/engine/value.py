"""The optimisation of m* (ROME, eq. 4), shared by all methods that write a value: what to add to m at i_s.

Each edit brings an `Offset`, a module whose parameters are trained; several edits run in one batch and each stops by
itself, so that an edit's result does not depend on the others. docs/methods.md, "Optimising the value".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from kgedit.errors import EditDiverged
from kgedit.methods.engine.batch import EditBatch

Choice = Literal["last", "best", "last unless worse"]

# Edits that have stopped leave the batch once they are this share of it: a new batch costs about two steps.
_WORTH_SHRINKING = 0.75


class Offset(Protocol):
    """What is trained for one edit."""

    def current(self, step: int) -> Tensor:
        """(layers, d) the offset at this step, with gradients; `step` counts from 0."""
        ...

    def final(self) -> Tensor:
        """(layers, d) the offset once training is over (no dropout), without gradients."""
        ...

    def penalty(self) -> Tensor:
        """() what is added to the loss."""
        ...

    def update(self, loss: float) -> None:
        """One optimiser step on the gradients of this loss, then whatever bounds the parameters."""
        ...


class Offsets(Protocol):
    """What is trained for several edits, which are named by their numbers."""

    def current(self, edits: Sequence[int], step: int) -> Sequence[Tensor]:
        """(layers, d) the offset of each of some edits at this step, with gradients."""
        ...

    def update(self, losses: Mapping[int, float]) -> None:
        """One optimiser step of some edits, each on the gradients of its loss."""
        ...


class OneByOne:
    """Offsets of which each is computed and trained by itself."""

    def __init__(self, offsets: Sequence[Offset]) -> None:
        """Take one per edit."""
        self._offsets = offsets

    def current(self, edits: Sequence[int], step: int) -> list[Tensor]:
        """See `Offset.current`."""
        return [self._offsets[number].current(step) for number in edits]

    def update(self, losses: Mapping[int, float]) -> None:
        """See `Offset.update`."""
        for number, loss in losses.items():
            self._offsets[number].update(loss)


class FreeOffset(nn.Module):
    """ROME's delta (eq. 4): one free vector per edit layer, with Adam, a norm penalty and a hard bound.

    Attributes:
        delta: (layers, d), zeros at first; in main memory, see `optimise`.
    """

    def __init__(self, base: Tensor, *, learning_rate: float, weight_decay: float, clamp: float) -> None:
        """Start from zero.

        Args:
            base: (layers, d) unedited MLP outputs m of the bare prompt.
            learning_rate: Adam's.
            weight_decay: Weight of ||delta|| / ||m||^2 in the loss (the published quotient).
            clamp: Bound of ||delta|| / ||m||, enforced after each step, layer by layer.
        """
        super().__init__()
        base = base.cpu()
        self.delta = nn.Parameter(torch.zeros_like(base))
        self._size = base.norm(dim=-1)  # (layers,)
        self._weight_decay, self._clamp = weight_decay, clamp
        self._adam = torch.optim.Adam([self.delta], lr=learning_rate)

    def current(self, step: int) -> Tensor:
        """(layers, d) delta itself."""
        return self.delta

    def final(self) -> Tensor:
        """(layers, d) delta itself, detached."""
        return self.delta.detach().clone()

    def penalty(self) -> Tensor:
        """() weight decay, summed over layers."""
        shares: Tensor = self.delta.norm(dim=-1) / self._size**2  # (layers,)
        return self._weight_decay * shares.sum()

    def update(self, loss: float) -> None:
        """An Adam step, then the projection onto the ball."""
        self._adam.step()
        self._adam.zero_grad()
        with torch.no_grad():
            self.delta.copy_(bounded(self.delta, self._clamp * self._size))


@dataclass
class Solution:
    """What the optimisation found for one edit.

    Attributes:
        offset: (layers, d), m* - m.
        losses: Total loss at each evaluation.
        parts: Kind of row -> its loss at the evaluation whose offset was taken.
        best: Lowest total loss seen, and the offset there.
        stopped: Whether it takes no further step.
        taken: Evaluations in which the object was the most probable one behind every prefix.
    """

    offset: Tensor
    losses: list[float] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)
    best: tuple[float, Tensor, dict[str, float]] | None = None
    stopped: bool = False
    taken: int = 0


def optimise(
    batch: EditBatch,
    offsets: Sequence[Offset],
    *,
    steps: int,
    stop_loss: float,
    extra_steps: int = 0,
    hard_loss: float = 0.0,
    keep: Choice = "last",
    early_stop: int = 0,
    together: Offsets | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Solution]:
    """Train every edit's offset until its loss is below `stop_loss` or the steps are used up.

    Offsets may be in main memory though the model is on a GPU: a step of a free vector is some fifty operations on few
    numbers, which a processor begins in a fraction of the time. They go to the model, and gradients back, all at once.

    Args:
        batch: The prepared rows.
        offsets: One per edit.
        steps: Evaluations of the loss; the last one is not followed by an update (so at most steps - 1 updates).
        stop_loss: An edit whose total loss is below this takes no further step.
        extra_steps: Further evaluations for an edit whose best loss is then still above `hard_loss`.
        hard_loss: See `extra_steps`.
        keep: "last" offset evaluated (ROME), "best" evaluated, or as the released GLAME code "last unless worse":
            the final one, unless its loss is neither below `stop_loss` nor within 0.1 of the best.
        early_stop: An edit stops after so many evaluations in which its object was the most probable one behind every
            prefix (ENCORE's early stop); 0 for never.
        together: The same offsets, where some are computed and trained faster at once than one by one.
        progress: Called with (step, steps).

    Raises:
        EditDiverged: A loss is NaN or infinite.
    """
    solutions, device = [Solution(offset.final()) for offset in offsets], batch.device
    trained = together or OneByOne(offsets)
    # `remaining` holds the rows of the edits in `running`; both shrink as edits stop.
    running, remaining = list(range(len(offsets))), batch
    for step in range(steps + extra_steps):
        last = step == steps + extra_steps - 1
        # The loss of every running edit at its present offset; the last one is not followed by an update.
        with torch.set_grad_enabled(not last):
            current = _stacked(trained.current(running, step), device)  # (edits, layers, d)
            parts = remaining.losses(current, count_missed=early_stop > 0)
            penalties = _stacked([offsets[number].penalty() for number in running], device)  # (edits,)
        total = torch.stack(list(parts.values())).sum(dim=0) + penalties  # (edits,)
        _record([solutions[number] for number in running], current, parts, total, step, stop_loss)
        if early_stop:
            for number, missed in zip(running, remaining.missed.tolist(), strict=True):
                solutions[number].taken += not missed
                solutions[number].stopped |= solutions[number].taken >= early_stop
        # After the regular steps only edits that are still far from their goal go on.
        for solution in solutions:
            solution.stopped |= step == steps - 1 and min(solution.losses) <= hard_loss
        going = [place for place, number in enumerate(running) if not solutions[number].stopped]
        if progress:
            progress(min(step + 1, steps), steps)
        if not going or last:
            break
        # One backward pass gives each edit its own gradient: no loss depends on another edit's offset.
        total[going].sum().backward()  # type: ignore[no-untyped-call]
        trained.update({running[place]: solutions[running[place]].losses[-1] for place in going})
        if len(going) < _WORTH_SHRINKING * len(running):
            remaining, running = remaining.only(going), [running[place] for place in going]
    if keep == "last unless worse":
        _last_unless_worse(batch, offsets, solutions, stop_loss)
    elif keep == "best":
        for solution in solutions:
            if solution.best is not None:
                _, solution.offset, solution.parts = solution.best
    return solutions


def bounded(vectors: Tensor, sizes: Tensor) -> Tensor:
    """Vectors (n, d) shrunk to at most these norms (n,); differentiable."""
    norms = vectors.norm(dim=-1).clamp_min(1e-12)
    shrunk: Tensor = vectors * (sizes / norms).clamp(max=1.0).unsqueeze(-1)
    return shrunk


def _stacked(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    """(edits, ...) on a device; what lies together elsewhere goes there in one piece."""
    if len({part.device for part in parts}) == 1:
        return torch.stack(list(parts)).to(device)
    return torch.stack([part.to(device) for part in parts])


def _record(
    solutions: list[Solution],
    current: Tensor,
    parts: dict[str, Tensor],
    total: Tensor,
    step: int,
    stop_loss: float,
) -> None:
    losses, found = total.detach().tolist(), current.detach()
    pieces = {kind: values.detach().tolist() for kind, values in parts.items()}
    for number, (solution, loss) in enumerate(zip(solutions, losses, strict=True)):
        if solution.stopped:
            continue
        if not math.isfinite(loss):
            size = float(found[number].norm())
            raise EditDiverged(
                f"the loss of edit {number} is {loss} at step {step}, with an offset of norm {size:.3g}; "
                "lower the learning rate or the clamp, or load the model in float32"
            )
        solution.losses.append(loss)
        solution.offset = found[number]
        solution.parts = {kind: values[number] for kind, values in pieces.items()}
        if solution.best is None or loss < solution.best[0]:
            solution.best = (loss, solution.offset, solution.parts)
        solution.stopped = loss < stop_loss


def _last_unless_worse(
    batch: EditBatch, offsets: Sequence[Offset], solutions: list[Solution], stop_loss: float
) -> None:
    """The released GLAME code's choice: the offset after the last step, without dropout, unless it got worse."""
    final = _stacked([offset.final() for offset in offsets], batch.device)  # (edits, layers, d)
    with torch.no_grad():
        parts = batch.losses(final)
    total = torch.stack(list(parts.values())).sum(dim=0).tolist()
    for number, solution in enumerate(solutions):
        if solution.best is not None and total[number] >= stop_loss and total[number] > solution.best[0] + 0.1:
            _, solution.offset, solution.parts = solution.best
        else:
            solution.offset = final[number]
            solution.parts = {kind: float(values[number]) for kind, values in parts.items()}
