"""The figures of the page, dots with intervals by metric and by number of hops: SVG with equal bytes every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kgedit.evaluate.benchmarks.mquake.measures import HOPS
from kgedit.evaluate.report.estimates import Estimate
from kgedit.evaluate.report.figures import MAIN
from kgedit.evaluate.report.marks import legend, look, runs_of
from kgedit.evaluate.report.model import SuiteReport
from kgedit.io.plotting import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 9.0  # inches
_LINE = 0.17  # inches for one method in one metric


def dots(report: SuiteReport) -> str | None:
    """Dots with 95 % intervals for the main figures, or else for every share; None where the report has none.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    shares = [name for name in report.metrics if _is_share(report, name) and not _by_hops(name)]
    metrics = [name for name in shares if name in MAIN] or shares
    if not metrics:
        return None

    def draw(figure: Figure) -> None:
        _dots(figure.add_subplot(), report, metrics)
        legend(figure)

    height = 0.9 + len(metrics) * (0.12 + _LINE * len(report.methods))
    return drawn(draw, width=_WIDTH, height=height, salt="dots").decode()


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
        legend(figure)

    return drawn(draw, width=_WIDTH, height=2.8 * lines + 0.7, salt="hops").decode()


def _dots(axes: Axes, report: SuiteReport, metrics: Sequence[str]) -> None:
    """A line for each metric, the first at the top; its methods side by side, so that no interval hides another."""
    for number, method in enumerate(report.methods):
        estimates = [(place, report.methods[method].get(metric)) for place, metric in enumerate(metrics)]
        shown = [
            (place + _shift(number, len(report.methods), 0.7), estimate) for place, estimate in estimates if estimate
        ]
        axes.errorbar(
            [100 * estimate.value for _, estimate in shown],
            [place for place, _ in shown],
            xerr=_errors([estimate for _, estimate in shown]),
            linestyle="none",
            **_style(method, report),
        )
    for place in range(1, len(metrics)):
        axes.axhline(place - 0.5, color="#E4E4E4", linewidth=0.8)
    axes.set_yticks(range(len(metrics)), [name.replace("_", " ") for name in metrics])
    axes.set_ylim(len(metrics) - 0.5, -0.5)
    low = min(estimate.low for figures in report.methods.values() for m, estimate in figures.items() if m in metrics)
    axes.set_xlim(min(-2.0, 105 * low), 102)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#E4E4E4")
    axes.set_xlabel("percent")


def _lines(axes: Axes, report: SuiteReport, stem: str) -> None:
    for number, method in enumerate(report.methods):
        estimates = [(hops, report.methods[method].get(f"{stem}_{hops}")) for hops in HOPS]
        shown = [
            (hops + _shift(number, len(report.methods), 0.16), estimate) for hops, estimate in estimates if estimate
        ]
        axes.errorbar(
            [place for place, _ in shown],
            [100 * estimate.value for _, estimate in shown],
            yerr=_errors([estimate for _, estimate in shown]),
            linewidth=1.2,
            **_style(method, report),
        )
    axes.set_xticks(HOPS, [f"{hops} hops" for hops in HOPS])
    axes.set_xlim(HOPS[0] - 0.3, HOPS[-1] + 0.3)
    axes.set_ylim(-4, 104)
    axes.set_title(stem.replace("_", " "), fontsize=9)
    axes.set_ylabel("percent")


def _shift(number: int, count: int, width: float) -> float:
    """How far a method stands beside the middle of its tick."""
    return width * (number / max(count - 1, 1) - 0.5) if count > 1 else 0.0


def _style(method: str, report: SuiteReport) -> dict[str, Any]:
    own = look(method, runs_of(report.methods))
    face = own.colour if own.filled else "white"
    return {
        "color": own.colour,
        "marker": own.marker,
        "markerfacecolor": face,
        "markersize": 4.5,
        "elinewidth": 0.9,
        "capsize": 2,
        "clip_on": False,
        "label": method,
    }


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Distances to both ends of the intervals; a percentile interval can lie beside a skewed mean."""
    return [
        [100 * max(0.0, estimate.value - estimate.low) for estimate in estimates],
        [100 * max(0.0, estimate.high - estimate.value) for estimate in estimates],
    ]


def _is_share(report: SuiteReport, metric: str) -> bool:
    """Whether all values fit on an axis up to 1; entropies do not."""
    return all(abs(estimates[metric].high) <= 1 for estimates in report.methods.values() if metric in estimates)


def _by_hops(metric: str) -> bool:
    return metric.startswith("multihop") and metric.rpartition("_")[2] in {str(hops) for hops in HOPS}
