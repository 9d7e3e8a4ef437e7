"""Words that every form of a report shares: cells, the best of a row, differences, cases left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from kgedit.evaluate.report.estimates import Comparison, Estimate, Spread
from kgedit.evaluate.report.figures import MAIN
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.results import PASTED, UNEDITED

LEGEND = (
    "Shares in percent (other figures times 100); ± is half the width of the 95 % bootstrap interval. "
    "Bold: the best editor's mean, whether or not it is separated from the next."
)
NO_TABLE = "No table: the figures of single cases are in rows.jsonl, the means in report.json and report.csv."
# A share of tests that could be asked is no merit of an editor.
_NO_MERIT = "_executed"


def cell(estimate: Estimate | None) -> str:
    """A figure in a table: "79.9 ±3.4", or a dash."""
    if estimate is None:
        return "-"
    return f"{points(estimate.value)} ±{points((estimate.high - estimate.low) / 2)}"


def points(value: float, *, signed: bool = False) -> str:
    """Times 100 with one digit; what is rounded to zero has no minus."""
    rounded = round(100 * value, 1) + 0.0
    return f"{rounded:+.1f}" if signed else f"{rounded:.1f}"


def best(report: SuiteReport, metric: str) -> frozenset[str]:
    """The editors with the highest mean; none where there is nothing to choose from."""
    values = {
        name: figures[metric].value
        for name, figures in report.methods.items()
        if name.partition("@")[0] not in (UNEDITED, PASTED) and metric in figures
    }
    if len(values) < 2 or metric.endswith(_NO_MERIT):
        return frozenset()
    return frozenset(name for name, value in values.items() if value == max(values.values()))


def differences(report: SuiteReport) -> Iterator[str]:
    """One sentence for each compared pair of editors, on the main metrics; a lone editor against unedited."""
    shown = [comparison for comparison in report.comparisons if comparison.other != UNEDITED] or report.comparisons
    shown = [comparison for comparison in shown if comparison.metric in MAIN] or shown
    for (method, other), group in groupby(shown, key=lambda comparison: (comparison.method, comparison.other)):
        compared = list(group)
        separated = [comparison for comparison in compared if comparison.separated]
        parts = [
            _part("above in", (comparison for comparison in separated if comparison.difference > 0)),
            _part("below in", (comparison for comparison in separated if comparison.difference < 0)),
            *(
                _part("not separated in", alike, f": {why}")
                for why, alike in _by_reason(comparison for comparison in compared if not comparison.separated)
            ),
        ]
        yield f"{method} against {other}: {'; '.join(part for part in parts if part)}."


def basis_of(report: SuiteReport) -> str:
    """What the figures rest on: number of cases, seed, model; those of all runs in a comparison."""
    runs = [
        told for told in (report.manifest, *report.manifest.values()) if isinstance(told, dict) and "model" in told
    ]
    models = [run["model"] for run in runs]
    names = dict.fromkeys(str(model.get("name")) if isinstance(model, dict) else str(model) for model in models)
    seeds = dict.fromkeys(str(told["seed"]) for told in (*runs, report.manifest) if "seed" in told)
    parts = [f"n = {report.cases}"]
    parts += [f"seed {' and '.join(seeds)}"] if seeds else []
    parts += [f"model {' and '.join(names)}"] if names else []
    return ", ".join(parts)


def left_out(report: SuiteReport) -> str | None:
    """What did not run, if anything."""
    if not report.left_out:
        return None
    return "Left out: " + ", ".join(f"{count} x {reason}" for reason, count in report.left_out.items()) + "."


DIFFERENCES_HEADING = ("", "metric", "difference", "cases", "verdict")


def difference_rows(report: SuiteReport) -> list[tuple[str, str, str, str, str]]:
    """One row for each comparison, as in `DIFFERENCES_HEADING`."""
    return [
        (
            f"{comparison.method} against {comparison.other}",
            comparison.metric,
            span(comparison),
            str(comparison.n),
            comparison.verdict,
        )
        for comparison in report.comparisons
    ]


SPREAD_HEADING = ("run", "method", "figure", "seeds", "mean", "deviation", "from to")


def spread_rows(spread: Iterable[Spread]) -> list[tuple[str, ...]]:
    """One row for each figure over seeds, as in `SPREAD_HEADING`; figures times 100."""
    return [
        (
            row.run,
            row.method,
            row.metric,
            ", ".join(map(str, row.seeds)),
            f"{100 * row.mean:.1f}",
            f"{100 * row.deviation:.1f}",
            f"{100 * min(row.values):.1f} to {100 * max(row.values):.1f}",
        )
        for row in spread
    ]


def span(comparison: Comparison) -> str:
    """A difference in points with its interval."""
    ends = f"[{points(comparison.low, signed=True)}, {points(comparison.high, signed=True)}]"
    return f"{points(comparison.difference, signed=True)} {ends}"


def _by_reason(compared: Iterable[Comparison]) -> Iterator[tuple[str, list[Comparison]]]:
    """Comparisons that share the reason why they do not count."""
    reasons: dict[str, list[Comparison]] = {}
    for comparison in compared:
        reasons.setdefault(comparison.reason, []).append(comparison)
    yield from reasons.items()


def _part(verdict: str, compared: Iterable[Comparison], why: str = "") -> str:
    named = ", ".join(f"{comparison.metric} ({points(comparison.difference, signed=True)})" for comparison in compared)
    return f"{verdict} {named}{why}" if named else ""
