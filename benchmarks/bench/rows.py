"""A row of the table: the same work done by the package and by the published procedure, and its floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.bench.floor import Product, time_of
from benchmarks.bench.measure import Side, Spent, interleaved
from benchmarks.bench.shapes import Shape


@dataclass(frozen=True)
class Options:
    """What a run may choose.

    Attributes:
        edits: Edits of a row of many.
        glame: Those of GLAME's row of many, of which each takes the longest.
        steps: Evaluations of the loss; GLAME takes twice as many.
        cases: CounterFact cases that are scored.
        tokens: Of text that second moments are collected from.
        seconds: For the repetitions of a row; each side runs once at least.
        seed: Draws edits and cases.
        minutes: No row begins later than this; 0 sets no limit.
    """

    edits: int = 100
    glame: int = 8
    steps: int = 20
    cases: int = 100
    tokens: int = 16384
    seconds: float = 20.0
    seed: int = 0
    minutes: float = 0.0


ON_GPU = Options(seconds=3.0, glame=100)  # a GPU is lent for minutes


@dataclass(frozen=True)
class Row:
    """What a row does.

    Attributes:
        ours: The package's way.
        baseline: The published one.
        difference: Relative difference of the two results, on a small part of the work; None where two different
            things stand beside each other.
        products: What any way must multiply; none where that says nothing.
        units: What `ours` makes, e.g. edits; times are given for one.
        baseline_units: What `baseline` makes.
    """

    ours: Callable[[], object]
    baseline: Callable[[], object]
    difference: Callable[[], float] | None
    products: Sequence[Product]
    units: float = 1.0
    baseline_units: float = 1.0


def measured(row: Row, shape: Shape, options: Options) -> dict[str, Any]:
    """Check that both results are equal, then time both.

    Raises:
        ArithmeticError: They are not.
    """
    with shape.in_float32():
        difference = row.difference() if row.difference else None
    if difference is not None and not difference <= shape.tolerance:
        raise ArithmeticError(f"the results differ by {difference:.2g}, allowed is {shape.tolerance:g}")
    device = torch.device(shape.model.device)
    if row.difference and device.type == "cuda":
        row.difference()  # once more in the model's own precision: kernels are loaded when they are first used
    sides = interleaved({"ours": row.ours, "baseline": row.baseline}, device, options.seconds)
    ours, baseline = sides["ours"].spent.per(row.units), sides["baseline"].spent.per(row.baseline_units)
    operations, least = time_of(row.products, device, shape.model.dtype)
    floor = least.per(row.units)
    return {
        "difference": difference,
        "ours": _side(sides["ours"], ours),
        "baseline": _side(sides["baseline"], baseline),
        "ratio": baseline.wall / ours.wall,
        "ratio_cpu": baseline.cpu / ours.cpu if ours.cpu else None,
        "floor": _named(floor) if row.products else None,
        "floor_operations": operations / row.units if row.products else None,
        "over_floor": ours.wall / floor.wall if row.products else None,
        "over_floor_cpu": ours.cpu / floor.cpu if row.products and floor.cpu else None,
    }


def _side(side: Side, one: Spent) -> dict[str, Any]:
    return {**_named(one), "peak_bytes": side.peak, "repetitions": side.repetitions}


def _named(spent: Spent) -> dict[str, float]:
    """Seconds, by name."""
    return {"seconds": spent.wall, "cpu_seconds": spent.cpu}
