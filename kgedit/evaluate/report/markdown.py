"""A report as Markdown: a table per kind of figure, differences, and the manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from kg_cache.text import printable
from kgedit.evaluate.report.estimates import Spread
from kgedit.evaluate.report.lengths import LENGTHS_NOTE, length_table
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.report.texts import TEXTS_HEADING, TEXTS_NOTE, text_rows
from kgedit.evaluate.report.wording import (
    DIFFERENCES_HEADING,
    LEGEND,
    NO_TABLE,
    SPREAD_HEADING,
    best,
    cell,
    difference_rows,
    left_out,
    spread_rows,
)

_MANIFEST = "Manifest:"


def to_markdown(report: SuiteReport, spread: Sequence[Spread] = ()) -> str:
    """The report as GitHub's Markdown, with metrics as rows and methods as columns.

    Args:
        report: The report.
        spread: Figures over seeds, for a comparison of runs.
    """
    parts = [f"**{plain(report.headline)}**", *map(plain, report.notes)]
    if not report.meaningful:
        parts.append(NO_TABLE)
    elif report.methods:
        names = list(report.methods)
        if report.lengths:
            heading, rows = length_table(report, cell)
            parts += [table([*map(plain, heading)], [list(map(plain, row)) for row in rows]), LENGTHS_NOTE]
        lines = [[plain(metric), *(_cell(report, name, metric) for name in names)] for metric in report.metrics]
        parts += [table(["", *map(plain, names)], lines), LEGEND]
    if report.meaningful and report.comparisons:
        parts += ["Differences over the cases that both have, 95 % paired-bootstrap intervals:", _compared(report)]
    if spread:
        rows = [[plain(cell) for cell in row] for row in spread_rows(spread)]
        parts += ["Over seeds:", table(SPREAD_HEADING, rows, left=4)]
    if report.texts:
        rows = [[plain(cell) for cell in row] for row in text_rows(report.texts)]
        parts += [TEXTS_NOTE, table(TEXTS_HEADING, rows, left=len(TEXTS_HEADING))]
    if (out := left_out(report)) is not None:
        parts.append(plain(out))
    parts += [_MANIFEST, f"```json\n{json.dumps(report.manifest, indent=2, ensure_ascii=True)}\n```"]
    return printable("\n\n".join(parts) + "\n")


def is_markdown(content: bytes) -> bool:
    """Whether a file's content is a report that was made here."""
    return content.startswith(b"**") and f"\n\n{_MANIFEST}\n\n```json\n".encode() in content


def table(heading: Sequence[str], lines: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table of cells that are Markdown already, all but the first columns set right."""
    rule = ["---"] * left + ["---:"] * (len(heading) - left)
    return "\n".join(f"| {' | '.join(line)} |" for line in (heading, rule, *lines))


def plain(text: str) -> str:
    """A text that stands for itself in a line or cell of Markdown."""
    return re.sub(r"([\\`*<\[|])", r"\\\1", " ".join(text.split()))


def _cell(report: SuiteReport, method: str, metric: str) -> str:
    text = cell(report.methods[method].get(metric))
    return f"**{text}**" if method in best(report, metric) else text


def _compared(report: SuiteReport) -> str:
    rows = difference_rows(report)
    return table(DIFFERENCES_HEADING, [[plain(pair), plain(metric), *figures] for pair, metric, *figures in rows])
