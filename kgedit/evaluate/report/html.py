"""A report as one page that needs nothing beside it: headline, figures, tables, manifest."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape

from kgedit.errors import MissingExtra
from kgedit.evaluate.report import plots
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.report.wording import LEGEND, NO_TABLE, best, cell, differences, left_out, span

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #fff }
h1 { font-size: 1.25rem } h2 { font-size: 1rem; margin-top: 2rem }
figure { margin: 1rem 0 } figure img { width: 100% } figcaption, .note { font-size: .85rem; color: #555 }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums;
  border-top: 2px solid #222; border-bottom: 2px solid #222 }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap } thead { border-bottom: 1px solid #222 }
th:first-child, td:first-child { text-align: left }
pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; font-size: .8rem }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def to_html(report: SuiteReport) -> str:
    """The page; without matplotlib it has its tables, and says what is missing."""
    parts = [f"<h1>{escape(report.headline)}</h1>"]
    if not report.meaningful:
        parts.append(f"<p>{escape(NO_TABLE)}</p>")
    elif report.methods:
        parts += [*_figures(report), "<h2>Figures</h2>", _estimates(report), _note(LEGEND)]
        parts += [f"<p>{escape(sentence)}</p>" for sentence in differences(report)]
        if report.comparisons:
            parts += ["<h2>Differences</h2>", _note("Paired over the cases that both have."), _compared(report)]
    if (out := left_out(report)) is not None:
        parts.append(f"<p>{escape(out)}</p>")
    manifest = json.dumps(report.manifest, indent=2, ensure_ascii=False)
    parts += ["<h2>Manifest</h2>", f"<pre>{escape(manifest)}</pre>"]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.suite)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _figures(report: SuiteReport) -> Iterable[str]:
    try:
        drawn = [
            (plots.bars(report), "Means over cases with 95 % bootstrap intervals."),
            (plots.by_hops(report), "Multi-hop figures by the number of hops, with 95 % bootstrap intervals."),
        ]
    except MissingExtra as error:
        return [_note(str(error))]
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
    return _table(["", *map(escape, report.methods)], lines)


def _cell(report: SuiteReport, method: str, metric: str) -> str:
    text = escape(cell(report.methods[method].get(metric)))
    return f"<strong>{text}</strong>" if method in best(report, metric) else text


def _compared(report: SuiteReport) -> str:
    lines = [
        [
            escape(f"{one.method} against {one.other}"),
            escape(one.metric),
            escape(span(one)),
            str(one.n),
            "separated" if one.separated else "not separated",
        ]
        for one in report.comparisons
    ]
    return _table(["", "metric", "difference", "cases", "verdict"], lines)


def _table(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{text}</th>" for text in heading)
    rows = "\n".join(f"<tr>{''.join(f'<td>{text}</td>' for text in line)}</tr>" for line in lines)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
