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
        for metric, one in figures.items():
            writer.writerow([report.suite, method, "", metric, one.value, one.low, one.high, one.n, ""])
    for each in report.comparisons:
        verdict = "yes" if each.separated else "no"
        figure = (each.metric, each.difference, each.low, each.high, each.n, verdict)
        writer.writerow([report.suite, each.method, each.other, *figure])
    return file.getvalue()
