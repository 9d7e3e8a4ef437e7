"""The drawing of a sequence of edits: each figure, norm, perplexity and time as curves over the number of edits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kgedit.evaluate.report.lengths import figures_by_length, label_of, norm_of
from kgedit.evaluate.report.marks import look
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.results import UNEDITED, LengthRow
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
    panels = len(shares) + len(_WHOLE)
    lines = math.ceil(panels / _ACROSS)

    def draw(figure: Figure) -> None:
        for place in range(panels):
            axes = figure.add_subplot(lines, _ACROSS, place + 1)
            if place < len(shares):
                _share(axes, report, shares[place])
            else:
                _whole(axes, report.lengths, *_WHOLE[place - len(shares)])
            axes.set_xscale("log")
            axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
            axes.minorticks_off()
            axes.tick_params(labelsize=7)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)

    return drawn(draw, width=_WIDTH, height=_PANEL * lines + 0.5, salt="lengths").decode()


_WHOLE: Sequence[tuple[str, _Value]] = (
    ("perplexity, multiple of the unedited", lambda row: min(row.perplexity, _HIGHEST)),
    ("general ability, percent right", lambda row: None if row.ability is None else 100 * row.ability),
    ("largest norm of a matrix, multiple", norm_of),
    ("seconds for each edit", lambda row: row.seconds or None),
)


def _share(axes: Axes, report: SuiteReport, name: str) -> None:
    """A figure of cases; the unedited model is a level line."""

    def value(row: LengthRow) -> float | None:
        found = report.methods.get(label_of(row), {}).get(name)
        return None if found is None else 100 * found.value

    if (before := report.methods.get(UNEDITED, {}).get(name)) is not None:
        axes.axhline(100 * before.value, color=look(UNEDITED).colour, linewidth=0.8, linestyle="--")
    _curves(axes, report.lengths, value)
    axes.set_ylim(-4, 104)
    axes.set_title(f"{name.replace('_', ' ')}, percent", fontsize=8)


def _whole(axes: Axes, rows: Sequence[LengthRow], title: str, value: _Value) -> None:
    _curves(axes, rows, value)
    if any((found := value(row)) is not None and found > _FEW for row in rows):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda number, place: f"{number:g}")
    axes.set_title(title, fontsize=8)


def _curves(axes: Axes, rows: Sequence[LengthRow], value: _Value) -> None:
    for method in dict.fromkeys(row.method for row in rows):
        points = [(row.length, found) for row in rows if row.method == method and (found := value(row)) is not None]
        own = look(method)
        axes.plot(
            [length for length, _ in points],
            [found for _, found in points],
            color=own.colour,
            marker=own.marker,
            markersize=4,
            linewidth=1.2,
            label=method,
        )
