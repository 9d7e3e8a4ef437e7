"""The floor of a piece of work: its matrix products with weights, at the rate at which this machine does them.

Counted are the products that any implementation must make (a token that two sentences share counts once, the head
only where something is scored), not attention, norms or activations. Each is timed alone in its own shape, so a
product of few rows, which is bound by reading the weights, counts as what it takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from benchmarks.bench.measure import Spent, synchronised
from benchmarks.bench.shapes import Shape
from kgedit.methods.engine.objective import Objective

_TRIES = 3


@dataclass(frozen=True)
class Product:
    """`times` products of (rows, inner) with (inner, columns)."""

    rows: int
    inner: int
    columns: int
    times: float = 1.0

    @property
    def operations(self) -> float:
        """Multiplications and additions."""
        return 2.0 * self.rows * self.inner * self.columns * self.times


def time_of(products: Iterable[Product], device: torch.device, dtype: torch.dtype) -> tuple[float, Spent]:
    """Operations, and the time that they take one by one."""
    times: dict[tuple[int, int, int], float] = {}
    for one in products:
        shape = (one.rows, one.inner, one.columns)
        times[shape] = times.get(shape, 0.0) + one.times
    operations = wall = cpu = 0.0
    for (rows, inner, columns), count in times.items():
        spent = _one(rows, inner, columns, device, dtype)
        operations += Product(rows, inner, columns, count).operations
        wall, cpu = wall + count * spent.wall, cpu + count * spent.cpu
    return operations, Spent(wall, cpu)


def _one(rows: int, inner: int, columns: int, device: torch.device, dtype: torch.dtype) -> Spent:
    """The best of some tries at one product."""
    left = torch.randn(rows, inner, device=device, dtype=dtype)
    right = torch.randn(inner, columns, device=device, dtype=dtype)
    left @ right
    found = []
    for _ in range(_TRIES):
        with synchronised(device):
            wall, cpu = time.perf_counter(), time.process_time()
            left @ right
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return Spent(*(min(values) for values in zip(*found, strict=True)))


def block(shape: Shape, layer: int, rows: int, times: float = 1.0, scored: int | None = None) -> Iterator[Product]:
    """The products of one block over so many tokens; of its MLP over `scored` alone, where the block is the last."""
    module = shape.anatomy.block(shape.model, layer)
    mlp = shape.anatomy.mlp_out_path.rpartition(".")[0]
    for name, part in module.named_modules():
        if isinstance(part, (nn.Linear, Conv1D)):
            inner, columns = part.weight.shape if isinstance(part, Conv1D) else reversed(part.weight.shape)
            few = scored is not None and name.startswith(f"{mlp}.")
            yield Product(scored if few else rows, inner, columns, times)


def head(shape: Shape, rows: int, times: float = 1.0) -> Product:
    """The head over so many tokens."""
    vocabulary, d = shape.model.get_output_embeddings().weight.shape
    return Product(rows, d, vocabulary, times)


def beginnings(rows: Iterable[Sequence[int]]) -> int:
    """Number of different tokens of a tree that holds all rows."""
    return len({tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)})


def optimisation(shape: Shape, objectives: Sequence[Objective], layer: int, steps: int) -> Iterator[Product]:
    """The products of finding m*: what comes before, and steps from the written token on above the layer."""
    rows = [row for objective in objectives for row in objective.rows]
    before = beginnings(row.ids[: row.place] for row in rows)
    behind = sum(len(row.ids) - row.place for row in rows)
    scored = sum(len(row.scored) for row in rows)
    last = len(shape.anatomy.blocks(shape.model)) - 1
    for number in range(last + 1):
        yield from block(shape, number, before)
        if number <= layer:
            yield from block(shape, number, behind)
    # Forward at each evaluation, backward (gradients of states alone) at each but the last.
    times = 2 * steps - 1
    for number in range(layer + 1, last):
        yield from block(shape, number, behind, times)
    if layer < last:
        yield from block(shape, last, behind, times, scored=scored)
    yield Product(scored, head(shape, 1).inner, head(shape, 1).columns, steps)
    yield Product(scored, head(shape, 1).columns, head(shape, 1).inner, steps - 1)
