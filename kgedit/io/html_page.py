"""The frame of every HTML page: one file that loads nothing from anywhere, in one style; tables and notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from kg_cache.text import printable

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #fff; overflow-wrap: anywhere }
h1 { font-size: 1.25rem } h2 { font-size: 1rem; margin-top: 2rem }
figure { margin: 1rem 0; overflow-x: auto } figure img { width: 100%; min-width: 36rem }
figcaption, .note { font-size: .85rem; color: #555 }
.wide, figure { background:
  linear-gradient(90deg, #fff 40%, #fff0) 0 / 3rem 100% no-repeat local,
  linear-gradient(270deg, #fff 40%, #fff0) 100% / 3rem 100% no-repeat local,
  linear-gradient(90deg, #0003, #0000) 0 / 1rem 100% no-repeat scroll,
  linear-gradient(270deg, #0003, #0000) 100% / 1rem 100% no-repeat scroll }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums;
  border-top: 2px solid #222; border-bottom: 2px solid #222 }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; overflow-wrap: normal }
thead { border-bottom: 1px solid #222 } th:first-child, td:first-child { text-align: left }
.words table { width: 100% } .words th, .words td { text-align: left; vertical-align: top; white-space: normal }
.words td { min-width: 7rem; overflow-wrap: break-word }
abbr { text-decoration: underline dotted #999; cursor: help }
.yes { color: #00674a } .no { color: #a33c00 }
.yes::before { content: "\\2713\\00a0" } .no::before { content: "\\2717\\00a0" }
details { margin: .6rem 0 } summary { cursor: pointer; font-weight: 600 }
dt { font-weight: 600 } dd { margin: 0 0 .4rem 1rem }
pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; font-size: .8rem; overflow-wrap: normal }
@media (max-width: 40rem) { .words td { min-width: 0 } }
@media print { body { max-width: none; margin: 0; font-size: 11px }
  .wide, figure { overflow: visible; background: none }
  th, td { white-space: normal } figure, tr, section { break-inside: avoid } pre { white-space: pre-wrap } }
"""
_GENERATOR = '<meta name="generator" content="kgedit">'
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str], *, style: str = "") -> str:
    """A whole page; control characters and signs that turn the direction of writing are written as escapes.

    Args:
        title: Plain text.
        parts: HTML, one piece below the other.
        style: CSS beside the common one.
    """
    body = "\n".join(parts)
    return printable(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n{_GENERATOR}\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def is_page(content: bytes) -> bool:
    """Whether a file's content is a page that was made here."""
    return _GENERATOR.encode() in content[:1000]


def table(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{text}</th>" for text in heading)
    rows = "\n".join(f"<tr>{''.join(f'<td>{text}</td>' for text in line)}</tr>" for line in lines)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'


def note(text: str) -> str:
    """A plain remark."""
    return f'<p class="note">{escape(text)}</p>'


def fold(heading: str, parts: Iterable[str]) -> str:
    """Parts behind a heading, in plain text, that opens them."""
    body = "\n".join(parts)
    return f"<details><summary>{escape(heading)}</summary>\n{body}\n</details>"


def verdict(right: bool, text: str) -> str:
    """A plain text that is right or wrong, told by a sign as well as by colour."""
    return f'<span class="{"yes" if right else "no"}">{escape(text)}</span>'
