"""Draws where the time of one ROME edit goes: matrix products, attention, loss, moving memory, Python.

    .venv/bin/python -m benchmarks.bench.profile [--shapes mini,gpt2,smollm2] [--steps 20]
        [--out docs/pictures/profile.svg]

One edit behind 21 templates is made under torch's profiler after one that warms up. Each kernel's own time counts for
its kind; what is left of the time on the clock is Python, dispatch and the profiler itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.profiler import ProfilerActivity, profile

from benchmarks.bench.edits import RomeWork, edits
from benchmarks.bench.shapes import PLANS, Shape
from kgedit.io.atomic_files import write_files
from kgedit.io.plotting import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BACKWARD, _PYTHON = "matrix products, backward", "Python, dispatch, profiler"
# Kind -> parts of the names of its operators; the first that fits counts.
_KINDS: Mapping[str, tuple[str, ...]] = {
    "matrix products, forward": ("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm", "aten::linear"),
    _BACKWARD: (),
    "attention": ("scaled_dot_product", "softmax_backward"),
    "solve": ("cholesky", "triangular", "linalg"),
    "loss": ("log_softmax", "aten::gather", "scatter", "aten::exp"),
    "activations, norms": ("gelu", "silu", "tanh", "layer_norm", "aten::mean", "aten::pow", "rsqrt", "aten::mul"),
    "moving memory": ("copy_", "aten::cat", "clone", "index", "fill_", "zero", "aten::add"),
    "other kernels": ("",),
    _PYTHON: (),
}
_COLOURS = ("#0B4F6C", "#1F8AB4", "#6A4C93", "#B5838D", "#C1121F", "#E09F3E", "#7A9E7E", "#B8B8B8", "#E4E4E4")


def measured(shape: Shape, steps: int) -> dict[str, float]:
    """Kind -> seconds of one edit."""
    work = RomeWork(shape, [edits(1, 0)[0][0]], 21)
    work.ours(2)
    begin = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work.ours(steps)
        seconds = time.perf_counter() - begin
    found: dict[str, float] = defaultdict(float)
    for event in profiler.events() or ():
        kind = next(name for name, parts in _KINDS.items() if any(part in event.name for part in parts))
        if kind == "matrix products, forward" and _inside_backward(event):
            kind = _BACKWARD
        if event.name.startswith("aten::"):  # the others hold operators, or wait for them
            found[kind] += event.self_cpu_time_total / 1e6
    found[_PYTHON] = max(0.0, seconds - sum(found.values()))
    return {name: found[name] for name in _KINDS}


def _inside_backward(event: Any) -> bool:
    while event is not None:
        if event.name.startswith("autograd::engine"):
            return True
        event = event.cpu_parent
    return False


def picture(times: Mapping[str, Mapping[str, float]]) -> bytes:
    """A bar for each shape, cut into the shares of the kinds."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        names = list(times)
        begin = [0.0] * len(names)
        for kind, colour in zip(_KINDS, _COLOURS, strict=True):
            share = [100 * times[name][kind] / sum(times[name].values()) for name in names]
            axes.barh(names, share, left=begin, color=colour, label=kind, height=0.6)
            for row, (left, width) in enumerate(zip(begin, share, strict=True)):
                if width >= 4:
                    light = colour in _COLOURS[-3:]
                    middle = left + width / 2
                    axes.text(middle, row, f"{width:.0f}", ha="center", va="center", color="k" if light else "w")
            begin = [left + width for left, width in zip(begin, share, strict=True)]
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the time of one ROME edit")
        axes.grid(visible=False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)

    return drawn(draw, width=7.0, height=1.3 + 0.5 * len(times), salt="profile", grid=False)


def main() -> None:
    """Measures, prints JSON and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", default="mini,gpt2,smollm2", help=f"some of {','.join(PLANS)}")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/profile.svg"))
    chosen = parser.parse_args()
    times = {name: measured(Shape(name), chosen.steps) for name in chosen.shapes.split(",")}
    write_files(chosen.out.parent, {chosen.out.name: picture(times)})
    json.dump({name: {kind: round(s, 3) for kind, s in own.items()} for name, own in times.items()}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
