"""What every form of a report says in the same words: cells, the best of a row, differences, what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from kgedit.evaluate.report.estimates import Comparison, Estimate
from kgedit.evaluate.report.figures import MAIN
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.results import UNEDITED

LEGEND = (
    "Figures are times 100; ± is half the width of the 95 % bootstrap interval. "
    "Bold: the best editor's mean, whether or not it is separated from the next."
)
NO_TABLE = "No table: the figures of single cases are in rows.jsonl, the means in report.json and report.csv."
# A share of tests that could be asked is no merit of an editor.
_NO_MERIT = "_executed"


def cell(found: Estimate | None) -> str:
    """A figure in a table: "79.9 ±3.4", or a dash."""
    return "-" if found is None else f"{100 * found.value:.1f} ±{50 * (found.high - found.low):.1f}"


def best(report: SuiteReport, metric: str) -> frozenset[str]:
    """The editors with the highest mean; none where there is nothing to choose from."""
    values = {
        name: found[metric].value for name, found in report.methods.items() if name != UNEDITED and metric in found
    }
    if len(values) < 2 or metric.endswith(_NO_MERIT):
        return frozenset()
    return frozenset(name for name, value in values.items() if value == max(values.values()))


def differences(report: SuiteReport) -> Iterator[str]:
    """One sentence for each compared pair of editors, on the main metrics; a lone editor against unedited."""
    shown = [one for one in report.comparisons if one.other != UNEDITED] or report.comparisons
    shown = [one for one in shown if one.metric in MAIN] or shown
    for (method, other), group in groupby(shown, key=lambda one: (one.method, one.other)):
        found = list(group)
        parts = [
            _part("above in", (one for one in found if one.separated and one.difference > 0)),
            _part("below in", (one for one in found if one.separated and one.difference < 0)),
            _part("not separated in", (one for one in found if not one.separated)),
        ]
        yield f"{method} against {other}: {'; '.join(part for part in parts if part)}."


def left_out(report: SuiteReport) -> str | None:
    """What did not run, if anything."""
    if not report.left_out:
        return None
    return "Left out: " + ", ".join(f"{count} x {reason}" for reason, count in report.left_out.items()) + "."


DIFFERENCES_HEADING = ("", "metric", "difference", "cases", "verdict")


def difference_rows(report: SuiteReport) -> list[tuple[str, str, str, str, str]]:
    """One row for each comparison, as in `DIFFERENCES_HEADING`."""
    return [
        (f"{one.method} against {one.other}", one.metric, span(one), str(one.n), one.verdict)
        for one in report.comparisons
    ]


def span(one: Comparison) -> str:
    """A difference in points with its interval."""
    return f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"


def _part(verdict: str, found: Iterable[Comparison]) -> str:
    named = ", ".join(f"{one.metric} ({100 * one.difference:+.1f})" for one in found)
    return f"{verdict} {named}" if named else ""
