"""A report on the terminal: the headline, tables as wide as fit, and in words which differences hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kg_cache.text import printable
from kgedit.evaluate.report.lengths import LENGTHS_NOTE, length_table
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.report.texts import TEXTS_NOTE, text_rows
from kgedit.evaluate.report.wording import LEGEND, NO_TABLE, best, cell, differences, left_out, points

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_GAP = 3  # between columns
_ASKED = 120  # letters at the end of a prompt that are shown


def to_terminal(report: SuiteReport, *, width: int = 100) -> list[RenderableType]:
    """What is printed, one part after the other.

    Args:
        report: The report.
        width: Columns of the terminal.
    """
    from rich.text import Text

    parts: list[RenderableType] = [Text(printable(report.headline), style="bold")]
    parts += [Text(printable(text)) for text in report.notes]
    if not report.meaningful:
        parts.append(Text(NO_TABLE))
    elif report.methods:
        if report.lengths:
            parts += [_lengths(report), Text(LENGTHS_NOTE, style="dim")]
        parts += [_table(report, *block) for block in _blocks(report, width)]
        parts += [Text(LEGEND, style="dim"), *map(Text, differences(report))]
    if report.texts:
        parts += [*_texts(report), Text(TEXTS_NOTE, style="dim")]
    if (out := left_out(report)) is not None:
        parts.append(Text(out))
    return parts


def _lengths(report: SuiteReport) -> Table:
    """The sequence, a line for each method and length."""
    from rich.text import Text

    heading, lines = length_table(report, lambda estimate: points(estimate.value))
    made = _headed(heading)
    for line in lines:
        made.add_row(*map(Text, line))
    return made


def _blocks(report: SuiteReport, width: int) -> Iterator[tuple[Sequence[str], Sequence[str], bool]]:
    """(methods, metrics, whether the metrics are the columns) of each table.

    One table of all metrics side by side, or one of all methods side by side, or as many metrics as fit at a time.
    """
    methods, metrics = list(report.methods), report.metrics
    if _width(report, methods, metrics, across=True) <= width:
        yield methods, metrics, True
        return
    if _width(report, methods, metrics, across=False) <= width:
        yield methods, metrics, False
        return
    block: list[str] = []
    for metric in metrics:
        if block and _width(report, methods, [*block, metric], across=True) > width:
            yield methods, block, True
            block = []
        block.append(metric)
    yield methods, block, True


def _width(report: SuiteReport, methods: Sequence[str], metrics: Sequence[str], *, across: bool) -> int:
    """Columns that a table takes."""
    lines = _cells(report, methods, metrics, across=across)
    lines[0] = [max(name.split("_"), key=len) + "_" for name in lines[0]]  # headings wrap there
    return sum(max(map(len, column)) + _GAP for column in zip(*lines, strict=True)) - _GAP


def _cells(report: SuiteReport, methods: Sequence[str], metrics: Sequence[str], *, across: bool) -> list[list[str]]:
    """Heading and rows of a table."""
    lines = [
        ["", *metrics],
        *([method, *(cell(report.methods[method].get(metric)) for metric in metrics)] for method in methods),
    ]
    return lines if across else [list(column) for column in zip(*lines, strict=True)]


def _table(report: SuiteReport, methods: Sequence[str], metrics: Sequence[str], across: bool) -> Table:
    from rich.text import Text

    heading, *lines = _cells(report, methods, metrics, across=across)
    made = _headed(heading)
    for line in lines:
        made.add_row(
            Text(line[0]),
            *(
                Text(text, style="bold" if _is_best(report, line[0], name, across=across) else "")
                for name, text in zip(heading[1:], line[1:], strict=True)
            ),
        )
    return made


def _headed(heading: Sequence[str]) -> Table:
    """A table without rows, whose long headings wrap at underscores."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(heading):
        made.add_column(Text(name.replace("_", "_\n")), justify="right" if place else "left", overflow="fold")
    return made


def _texts(report: SuiteReport) -> Iterator[Text]:
    """Each text on a line of its own, below what was asked."""
    from rich.text import Text

    for figure, asked, wanted, method, said, right in text_rows(report.texts):
        if figure:
            prompt = " ".join(printable(asked).split())
            yield Text(f"{figure}: {prompt if len(prompt) <= _ASKED else '... ' + prompt[-_ASKED:]}")
            yield Text(f"  wanted: {' '.join(printable(wanted).split())}", style="dim")
        yield Text(f"  {method}: {' '.join(printable(said).split())} [{right}]")


def _is_best(report: SuiteReport, row: str, column: str, *, across: bool) -> bool:
    method, metric = (row, column) if across else (column, row)
    return method in best(report, metric)
