"""The frame of every HTML page: one file that loads nothing from anywhere, in one style; tables and notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

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


def page(title: str, parts: Iterable[str], *, style: str = "") -> str:
    """A whole page.

    Args:
        title: Plain text.
        parts: HTML, one piece below the other.
        style: CSS beside the common one.
    """
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def table(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{text}</th>" for text in heading)
    rows = "\n".join(f"<tr>{''.join(f'<td>{text}</td>' for text in line)}</tr>" for line in lines)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'


def note(text: str) -> str:
    """A plain remark."""
    return f'<p class="note">{escape(text)}</p>'
