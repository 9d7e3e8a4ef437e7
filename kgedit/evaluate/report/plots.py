"""The figures of the page, bars per metric and multi-hop accuracy by hop count: SVG with equal bytes every time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kgedit.evaluate.benchmarks.mquake.measures import HOPS
from kgedit.evaluate.report.estimates import Estimate
from kgedit.evaluate.report.figures import MAIN
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.results import UNEDITED
from kgedit.io.plotting import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinct for colour-blind readers (Okabe and Ito, 2008); the unedited model is grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#B8A800")
_GREY = "#9A9A9A"
_MARKS = "osD^vPX*"
_WIDTH = 9.0  # inches
_PER_LINE = 5  # metrics side by side


def bars(report: SuiteReport) -> str | None:
    """Bars with 95 % intervals for the main figures, or else for every share; None where the report has none.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    shares = [name for name in report.metrics if _is_share(report, name) and not _by_hops(name)]
    metrics = [name for name in shares if name in MAIN] or shares
    if not metrics:
        return None
    lines = math.ceil(len(metrics) / _PER_LINE)
    per_line = math.ceil(len(metrics) / lines)

    def draw(figure: Figure) -> None:
        for place in range(lines):
            axes = figure.add_subplot(lines, 1, place + 1)
            _bars(axes, report, metrics[place * per_line :][:per_line], per_line)
        _legend(figure, figure.axes[0])

    return drawn(draw, width=_WIDTH, height=2.3 * lines + 0.7, salt="bars").decode()


def by_hops(report: SuiteReport) -> str | None:
    """Multi-hop figures by the number of hops, one panel each; None where the report has none.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    stems = sorted({name.rpartition("_")[0] for name in report.metrics if _by_hops(name)}, key=lambda n: (len(n), n))
    if not stems:
        return None
    lines = math.ceil(len(stems) / 2)

    def draw(figure: Figure) -> None:
        for place, stem in enumerate(stems):
            _lines(figure.add_subplot(lines, min(2, len(stems)), place + 1), report, stem)
        _legend(figure, figure.axes[0])

    return drawn(draw, width=_WIDTH, height=2.8 * lines + 0.7, salt="hops").decode()


def _bars(axes: Axes, report: SuiteReport, metrics: Sequence[str], slots: int) -> None:
    each = 0.84 / len(report.methods)
    for number, (method, colour) in enumerate(_coloured(report)):
        estimates = [(place, report.methods[method].get(metric)) for place, metric in enumerate(metrics)]
        shown = [(place, estimate) for place, estimate in estimates if estimate is not None]
        left = -0.42 + each * (number + 0.5)
        axes.bar(
            [place + left for place, _ in shown],
            [100 * estimate.value for _, estimate in shown],
            0.92 * each,
            yerr=_errors([estimate for _, estimate in shown]),
            error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
            capsize=min(2.5, 12 * each),
            color=colour,
            label=method,
        )
    axes.set_xticks(range(len(metrics)), [name.replace("_", "\n") for name in metrics])
    axes.set_xlim(-0.5, slots - 0.5)
    low = min(
        [
            0.0,
            *(
                100 * estimate.low
                for estimates in report.methods.values()
                for m, estimate in estimates.items()
                if m in metrics
            ),
        ]
    )
    axes.set_ylim(1.05 * low, 105)
    axes.set_ylabel("mean x 100")


def _lines(axes: Axes, report: SuiteReport, stem: str) -> None:
    shift = 0.4 / max(len(report.methods) - 1, 1)
    for number, (method, colour) in enumerate(_coloured(report)):
        estimates = [(hops, report.methods[method].get(f"{stem}_{hops}")) for hops in HOPS]
        shown = [(hops, estimate) for hops, estimate in estimates if estimate is not None]
        axes.errorbar(
            [hops - 0.2 + shift * number for hops, _ in shown],  # side by side, so that no interval hides another
            [100 * estimate.value for _, estimate in shown],
            yerr=_errors([estimate for _, estimate in shown]),
            color=colour,
            marker=_MARKS[number % len(_MARKS)],
            markersize=4,
            linewidth=1.2,
            elinewidth=0.8,
            capsize=2,
            label=method,
        )
    axes.set_xticks(HOPS, [f"{hops} hops" for hops in HOPS])
    axes.set_xlim(HOPS[0] - 0.4, HOPS[-1] + 0.4)
    axes.set_ylim(0, 105)
    axes.set_title(stem.replace("_", " "), fontsize=9)
    axes.set_ylabel("mean x 100")


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Distances to both ends of the intervals; a percentile interval can lie beside a skewed mean."""
    return [
        [100 * max(0.0, estimate.value - estimate.low) for estimate in estimates],
        [100 * max(0.0, estimate.high - estimate.value) for estimate in estimates],
    ]


def _coloured(report: SuiteReport) -> Iterator[tuple[str, str]]:
    editors = [name for name in report.methods if name != UNEDITED]
    for name in report.methods:
        yield name, _GREY if name == UNEDITED else _COLOURS[editors.index(name) % len(_COLOURS)]


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 4), frameon=False)


def _is_share(report: SuiteReport, metric: str) -> bool:
    """Whether all values fit on an axis up to 1; entropies do not."""
    return all(abs(estimates[metric].high) <= 1 for estimates in report.methods.values() if metric in estimates)


def _by_hops(metric: str) -> bool:
    return metric.rpartition("_")[2] in {str(hops) for hops in HOPS}
