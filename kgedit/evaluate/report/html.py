"""A report as one self-contained HTML page: headline, figures, tables, manifest."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape

from kgedit.errors import MissingExtra
from kgedit.evaluate.report import curves, plots
from kgedit.evaluate.report.cases import case_parts
from kgedit.evaluate.report.estimates import Spread
from kgedit.evaluate.report.lengths import LENGTHS_NOTE, at_last_length, length_table
from kgedit.evaluate.report.meanings import meaning
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.report.texts import TEXTS_HEADING, TEXTS_NOTE, text_rows
from kgedit.evaluate.report.wording import (
    DIFFERENCES_HEADING,
    LEGEND,
    NO_TABLE,
    SPREAD_HEADING,
    basis_of,
    best,
    cell,
    difference_rows,
    differences,
    left_out,
    spread_rows,
)
from kgedit.evaluate.results import CaseAnswers
from kgedit.io.html_page import fold, note, page, table


def to_html(
    report: SuiteReport, spread: Sequence[Spread] = (), *, cases: str = "", answers: Sequence[CaseAnswers] = ()
) -> str:
    """The page; without matplotlib it has its tables, and says what is missing.

    Args:
        report: The report.
        spread: Figures over seeds, for a comparison of runs.
        cases: File beside the page with the single cases, to be linked.
        answers: Single cases that stand in the page itself.
    """
    parts = [f"<h1>{escape(report.headline)}</h1>", *map(note, report.notes)]
    if not report.meaningful:
        parts.append(f"<p>{escape(NO_TABLE)}</p>")
    elif report.methods:
        if report.lengths:
            parts += ["<h2>By number of edits</h2>", _lengths(report), note(LENGTHS_NOTE)]
        parts += [*_drawn(report), "<h2>Figures</h2>", _estimates(report), note(LEGEND), *_meanings(report)]
        parts += [f"<p>{escape(sentence)}</p>" for sentence in differences(report)]
        if report.comparisons:
            parts += ["<h2>Differences</h2>", note("Paired over the cases that both have."), _compared(report)]
    if spread:
        rows = [[escape(cell) for cell in row] for row in spread_rows(spread)]
        parts += ["<h2>Over seeds</h2>", table(SPREAD_HEADING, rows)]
    if report.texts:
        rows = [[escape(cell) for cell in row] for row in text_rows(report.texts)]
        parts += ["<h2>Texts</h2>", note(TEXTS_NOTE)]
        parts.append(fold(f"{len(rows)} texts", [f'<div class="words">{table(TEXTS_HEADING, rows)}</div>']))
    if (out := left_out(report)) is not None:
        parts.append(f"<p>{escape(out)}</p>")
    if cases:
        parts.append(f'<p><a href="{escape(cases)}">What each case was asked, and what every method said</a></p>')
    if answers:
        parts += ["<h2>Single cases</h2>", *case_parts(answers)]
    manifest = json.dumps(report.manifest, indent=2, ensure_ascii=False)
    parts += ["<h2>Manifest</h2>", fold("All that the figures depend on", [f"<pre>{escape(manifest)}</pre>"])]
    return page(report.suite, parts)


def _drawn(report: SuiteReport) -> Iterable[str]:
    basis = basis_of(report)
    drawn: list[tuple[str | None, str]] = []
    last, when = report, ""
    try:
        if report.lengths:
            intervals = "shares with 95 % intervals, dashed the unedited model"
            drawn.append((curves.by_length(report), f"Each method by the number of edits, {intervals}; {basis}."))
            last, when = at_last_length(report), "; each sequence of edits at its last length"
        drawn += [
            (plots.dots(last), f"Means and 95 % bootstrap intervals{when}; {basis}."),
            (plots.by_hops(last), f"Multi-hop figures by the number of hops, with 95 % intervals{when}; {basis}."),
        ]
    except MissingExtra as error:
        return [note(str(error))]
    return [_figure(svg, caption) for svg, caption in drawn if svg is not None]


def _lengths(report: SuiteReport) -> str:
    heading, rows = length_table(report, cell)
    return table([escape(name) for name in heading], [[escape(cell) for cell in row] for row in rows])


def _figure(svg: str, caption: str) -> str:
    # As an image: ids inside one drawing never meet those of another.
    data = base64.b64encode(svg.encode()).decode()
    text = escape(caption)
    image = f'<img alt="{text} The same figures stand in the table below." src="data:image/svg+xml;base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _estimates(report: SuiteReport) -> str:
    lines = [
        [_named(metric), *(_cell(report, method, metric) for method in report.methods)] for metric in report.metrics
    ]
    return table(["", *map(escape, report.methods)], lines)


def _named(metric: str) -> str:
    """The name of a figure, with what it means for those who point at it."""
    told = meaning(metric)
    return f'<abbr title="{escape(told)}">{escape(metric)}</abbr>' if told else escape(metric)


def _meanings(report: SuiteReport) -> Iterable[str]:
    """The same for those who cannot point, such as on a phone or on paper."""
    told = [(metric, meaning(metric)) for metric in report.metrics]
    entries = [f"<dt>{escape(metric)}</dt><dd>{escape(text)}</dd>" for metric, text in told if text]
    return [fold("What the figures mean", [f"<dl>{''.join(entries)}</dl>"])] if entries else []


def _cell(report: SuiteReport, method: str, metric: str) -> str:
    text = escape(cell(report.methods[method].get(metric)))
    return f"<strong>{text}</strong>" if method in best(report, metric) else text


def _compared(report: SuiteReport) -> str:
    rows = [
        [escape(pair), _named(metric), *map(escape, figures)] for pair, metric, *figures in difference_rows(report)
    ]
    return table(DIFFERENCES_HEADING, rows)
