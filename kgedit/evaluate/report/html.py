"""A report as one self-contained HTML page: headline, figures, tables, manifest."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from html import escape

from kgedit.errors import MissingExtra
from kgedit.evaluate.report import plots
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.report.texts import TEXTS_HEADING, TEXTS_NOTE, text_rows
from kgedit.evaluate.report.wording import (
    DIFFERENCES_HEADING,
    LEGEND,
    NO_TABLE,
    best,
    cell,
    difference_rows,
    differences,
    left_out,
)
from kgedit.io.html_page import note, page, table

_TEXTS_STYLE = ".texts th, .texts td { text-align: left; vertical-align: top; white-space: normal }\n"


def to_html(report: SuiteReport) -> str:
    """The page; without matplotlib it has its tables, and says what is missing."""
    parts = [f"<h1>{escape(report.headline)}</h1>"]
    if not report.meaningful:
        parts.append(f"<p>{escape(NO_TABLE)}</p>")
    elif report.methods:
        parts += [*_figures(report), "<h2>Figures</h2>", _estimates(report), note(LEGEND)]
        parts += [f"<p>{escape(sentence)}</p>" for sentence in differences(report)]
        if report.comparisons:
            parts += ["<h2>Differences</h2>", note("Paired over the cases that both have."), _compared(report)]
    if report.texts:
        rows = [[escape(cell) for cell in row] for row in text_rows(report.texts)]
        parts += ["<h2>Texts</h2>", note(TEXTS_NOTE), f'<div class="texts">{table(TEXTS_HEADING, rows)}</div>']
    if (out := left_out(report)) is not None:
        parts.append(f"<p>{escape(out)}</p>")
    manifest = json.dumps(report.manifest, indent=2, ensure_ascii=False)
    parts += ["<h2>Manifest</h2>", f"<pre>{escape(manifest)}</pre>"]
    return page(report.suite, parts, style=_TEXTS_STYLE)


def _figures(report: SuiteReport) -> Iterable[str]:
    try:
        drawn = [
            (plots.bars(report), "Means over cases with 95 % bootstrap intervals."),
            (plots.by_hops(report), "Multi-hop figures by the number of hops, with 95 % bootstrap intervals."),
        ]
    except MissingExtra as error:
        return [note(str(error))]
    return [_figure(svg, caption) for svg, caption in drawn if svg is not None]


def _figure(svg: str, caption: str) -> str:
    # As an image: ids inside one drawing never meet those of another.
    data = base64.b64encode(svg.encode()).decode()
    text = escape(caption)
    image = f'<img alt="{text} The same figures stand in the table below." src="data:image/svg+xml;base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _estimates(report: SuiteReport) -> str:
    lines = [
        [escape(metric), *(_cell(report, method, metric) for method in report.methods)] for metric in report.metrics
    ]
    return table(["", *map(escape, report.methods)], lines)


def _cell(report: SuiteReport, method: str, metric: str) -> str:
    text = escape(cell(report.methods[method].get(metric)))
    return f"<strong>{text}</strong>" if method in best(report, metric) else text


def _compared(report: SuiteReport) -> str:
    return table(DIFFERENCES_HEADING, [[escape(text) for text in row] for row in difference_rows(report)])
