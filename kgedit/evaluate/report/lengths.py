"""A sequence of edits as a table, a row for each method and length, and as the values of curves over the lengths."""

from __future__ import annotations

from collections.abc import Sequence

from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.report.wording import points
from kgedit.evaluate.results import UNEDITED, LengthRow

LENGTHS_NOTE = (
    "All edits so far, asked at the end of each length; shares in percent, their intervals stand beside all figures. "
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


def length_table(report: SuiteReport) -> tuple[Sequence[str], list[list[str]]]:
    """Heading and rows; the unedited model comes first."""
    figures = figures_by_length(report)
    heading = ["", "edits", "asked", "in full", *figures, *_WHOLE]
    before = _ability(report.lengths[0].ability_before) if report.lengths else "-"
    rows = [[UNEDITED, "0", "", "", *_cells(report, UNEDITED, figures), "1.000", before, "1.000", ""]]
    for row in report.lengths:
        counts = (row.edits, row.asked, row.asked_all)
        whole = (f"{row.perplexity:.4g}", _ability(row.ability), f"{norm_of(row):.3f}", f"{row.seconds:.2f}")
        rows.append([row.method, *map(str, counts), *_cells(report, label_of(row), figures), *whole])
    return heading, rows


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


def _cells(report: SuiteReport, method: str, figures: Sequence[str]) -> list[str]:
    found = report.methods.get(method, {})
    return [points(found[name].value) if name in found else "-" for name in figures]
