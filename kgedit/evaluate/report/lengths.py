"""A sequence of edits as a table, a row for each method and length, and as the values of curves over the lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kgedit.evaluate.report.estimates import Estimate
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.report.wording import points
from kgedit.evaluate.results import UNEDITED, LengthRow

LENGTHS_NOTE = (
    "All edits so far, asked at the end of each length; shares in percent, ± half the width of the 95 % bootstrap "
    "interval (on a terminal it stands beside all figures). "
    "In full: cases that were asked more than their edits, drawn from all so far. Perplexity: of held-out text, as a "
    "multiple of the unedited model's. Ability: share of multiple-choice questions about nothing edited that are "
    "answered right, in percent. Norm: largest Frobenius norm of an edited matrix, as a multiple of its own "
    "before. Seconds: of computing an edit."
)
# Figures of cases that stand in the table, as far as the run has them.
_FIGURES = (
    "efficacy_free efficacy_free_contains efficacy efficacy_accuracy paraphrase_free paraphrase_free_contains "
    "paraphrase neighborhood neighborhood_free unrelated_free unrelated_free_contains subject_facts_free multihop "
    "multihop_undisturbed disturbed"
).split()
_WHOLE = ("perplexity", "ability", "norm", "seconds")


def length_table(report: SuiteReport, shown: Callable[[Estimate], str]) -> tuple[Sequence[str], list[list[str]]]:
    """Heading and rows; the unedited model, of each run where there are several, comes first.

    Args:
        report: The report.
        shown: An estimate as text.
    """
    figures = figures_by_length(report)
    heading = ["", "edits", "asked", "in full", *figures, *_WHOLE]

    def cells(method: str) -> list[str]:
        found = report.methods.get(method, {})
        return [shown(found[name]) if name in found else "-" for name in figures]

    rows = []
    for name in unedited(report):
        run = name.removeprefix(UNEDITED)
        before = next((row.ability_before for row in report.lengths if row.method.endswith(run)), None)
        rows.append([name, "0", "", "", *cells(name), "1.000", _ability(before), "1.000", ""])
    for row in report.lengths:
        counts = (row.edits, row.asked, row.asked_all)
        whole = (f"{row.perplexity:.4g}", _ability(row.ability), f"{norm_of(row):.3f}", f"{row.seconds:.2f}")
        rows.append([row.method, *map(str, counts), *cells(label_of(row)), *whole])
    return heading, rows


def unedited(report: SuiteReport) -> list[str]:
    """The unedited model, or those of several runs, among the methods of the report."""
    return [name for name in report.methods if name.partition("@")[0] == UNEDITED]


def at_last_length(report: SuiteReport) -> SuiteReport:
    """The report with each method once, a sequence of edits by its figures at its last length."""
    of_sequence = {label_of(row): row for row in report.lengths}
    last = {row.method: row.length for row in sorted(report.lengths, key=lambda row: row.length)}
    methods = {}
    for name, figures in report.methods.items():
        row = of_sequence.get(name)
        if row is None:
            methods[name] = figures
        elif row.length == last[row.method]:
            methods[row.method] = figures
    return report.model_copy(update={"methods": methods})


def figures_by_length(report: SuiteReport) -> list[str]:
    """The figures of the table that some method of the run has."""
    return [name for name in _FIGURES if any(name in found for found in report.methods.values())]


def label_of(row: LengthRow) -> str:
    """The name of the method at this length among the methods of the report."""
    return f"{row.method}@{row.length}"


def norm_of(row: LengthRow) -> float:
    """The largest growth of a matrix."""
    return max(row.growth.values(), default=1.0)


def _ability(share: float | None) -> str:
    return "-" if share is None else points(share)
