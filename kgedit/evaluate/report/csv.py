"""A report as one long CSV table: a line for every figure, and one for every difference of two methods."""

from __future__ import annotations

import csv
import io

from kgedit.evaluate.report.model import SuiteReport

COLUMNS = ("suite", "method", "other", "metric", "value", "low", "high", "n", "separated")


def to_csv(report: SuiteReport) -> str:
    """Figures have no `other`; differences are `method` less `other`, with `separated` "yes" or "no"."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for method, figures in report.methods.items():
        for metric, estimate in figures.items():
            writer.writerow(
                [report.suite, method, "", metric, estimate.value, estimate.low, estimate.high, estimate.n, ""]
            )
    for comparison in report.comparisons:
        verdict = "yes" if comparison.separated else "no"
        figure = (comparison.metric, comparison.difference, comparison.low, comparison.high, comparison.n, verdict)
        writer.writerow([report.suite, comparison.method, comparison.other, *figure])
    return file.getvalue()
