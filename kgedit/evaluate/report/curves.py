"""The drawing of a sequence of edits: each figure, norm, perplexity and time as curves over the number of edits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kgedit.evaluate.report.estimates import Estimate
from kgedit.evaluate.report.lengths import figures_by_length, label_of, norm_of, unedited
from kgedit.evaluate.report.marks import legend, look, runs_of
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.results import LengthRow
from kgedit.io.plotting import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _PANEL, _ACROSS = 9.0, 2.0, 3  # inches, inches, panels side by side
_HIGHEST = 1e6  # of a multiple that is still told from a larger one
_FEW = 10.0  # up to which an axis is linear

_Value = Callable[[LengthRow], float | None]


def by_length(report: SuiteReport) -> str:
    """A panel for each figure in percent, and one each for perplexity, ability, norm and seconds.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    shares = figures_by_length(report)
    lengths = sorted({row.length for row in report.lengths})
    wholes = [whole for whole in _WHOLE if any(whole[1](row) is not None for row in report.lengths)]
    panels = len(shares) + len(wholes)
    lines = math.ceil(panels / _ACROSS)

    def draw(figure: Figure) -> None:
        for place in range(panels):
            axes = figure.add_subplot(lines, _ACROSS, place + 1)
            if place < len(shares):
                _share(axes, report, shares[place])
            else:
                _whole(axes, report.lengths, *wholes[place - len(shares)])
            axes.set_xscale("log")
            axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
            axes.minorticks_off()
            axes.tick_params(labelsize=7)
        legend(figure)

    return drawn(draw, width=_WIDTH, height=_PANEL * lines + 0.5, salt="lengths").decode()


_PERCENT = "percent"  # in the title of a share
_WHOLE: Sequence[tuple[str, _Value]] = (
    ("perplexity, multiple of the unedited", lambda row: min(row.perplexity, _HIGHEST)),
    (f"general ability, {_PERCENT} right", lambda row: None if row.ability is None else 100 * row.ability),
    ("largest norm of a matrix, multiple", norm_of),
    ("seconds for each edit", lambda row: row.seconds or None),
)


def _share(axes: Axes, report: SuiteReport, name: str) -> None:
    """A figure of cases with its intervals; the unedited model is a level line."""

    def estimate(row: LengthRow) -> Estimate | None:
        return report.methods.get(label_of(row), {}).get(name)

    def value(row: LengthRow) -> float | None:
        return 100 * found.value if (found := estimate(row)) else None

    runs = runs_of(row.method for row in report.lengths)
    for model in unedited(report):
        if (before := report.methods[model].get(name)) is not None:
            axes.axhline(100 * before.value, color=look(model, runs).colour, linewidth=0.8, linestyle=(0, (6, 4)))
    for method in dict.fromkeys(row.method for row in report.lengths):
        asked = [(row.length, found) for row in report.lengths if row.method == method and (found := estimate(row))]
        axes.vlines(
            [length for length, _ in asked],
            [100 * found.low for _, found in asked],
            [100 * found.high for _, found in asked],
            color=look(method, runs).colour,
            linewidth=0.8,
        )
    _curves(axes, report.lengths, value)
    axes.set_ylim(-4, 104)
    axes.set_title(f"{name.replace('_', ' ')}, {_PERCENT}", fontsize=8)


def _whole(axes: Axes, rows: Sequence[LengthRow], title: str, value: _Value) -> None:
    _curves(axes, rows, value)
    if _PERCENT in title:
        axes.set_ylim(-4, 104)
    elif any((found := value(row)) is not None and found > _FEW for row in rows):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda number, place: f"{number:g}")
    axes.set_title(title, fontsize=8)


def _curves(axes: Axes, rows: Sequence[LengthRow], value: _Value) -> None:
    methods = dict.fromkeys(row.method for row in rows)
    for method in methods:
        points = [(row.length, found) for row in rows if row.method == method and (found := value(row)) is not None]
        own = look(method, runs_of(methods))
        axes.plot(
            [length for length, _ in points],
            [found for _, found in points],
            color=own.colour,
            marker=own.marker,
            linestyle=own.line,
            markersize=4,
            linewidth=1.2,
            label=method,
        )
