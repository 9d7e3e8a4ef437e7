"""Pieces of HTML that several tabs show; every text of a graph, a feed or a model is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import urlsplit

from kg_cache.text import printable
from kgedit.ingest.report.drawing import STYLE as DRAWING
from kgedit.io.html_page import table

# Colours beside signs, so that neither stands alone; with the contrast that WCAG 2 AA asks for on light and dark.
STYLE = (
    """
.kg { overflow-wrap: anywhere; unicode-bidi: isolate }
.kg .wide { overflow-x: auto; margin: .5rem 0 1rem } .kg a { padding: 0 }
.kg table { border: 0 !important; border-collapse: collapse; width: 100%; margin: 0 !important;
  font-variant-numeric: tabular-nums }
.kg th, .kg td { padding: .3rem .6rem !important; text-align: left !important; vertical-align: top; min-width: 4.5rem;
  border: 0 !important; border-bottom: 1px solid #8886 !important; unicode-bidi: isolate; overflow-wrap: break-word }
.kg tr { border: 0 !important }
.kg th { border-bottom: 2px solid #8889 !important; font-weight: 600 }
@media (max-width: 600px) {
  .kg .asked thead { display: none }
  .kg .asked tr { display: grid; grid-template-columns: 1fr 1fr;
    border-bottom: 1px solid #8886 !important }
  .kg .asked td { border: 0 !important; min-width: 0; padding: .15rem .3rem !important }
  .kg .asked td:nth-child(-n + 2) { grid-column: 1 / -1 }
  .kg .asked td:nth-child(2):empty { display: none }
  .kg .asked td:nth-child(2)::before { content: "right once edited: " }
  .kg .asked td:nth-child(3)::before { content: "before: " }
  .kg .asked td:nth-child(4)::before { content: "after: " }
}
.kg .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(16rem, 100%), 1fr)); gap: 1rem }
.kg .pair section { border: 1px solid #8886; border-radius: .5rem; padding: .5rem .8rem }
.kg .pair h4 { margin: 0 0 .3rem; font-weight: 600 } .kg .pair p { white-space: pre-wrap; margin: 0 }
.kg .pair .given { opacity: .8 }
.kg .yes { color: #00674a } .kg .no { color: #a33c00 }
.dark .kg .yes { color: #63d6a7 } .dark .kg .no { color: #ffb08a }
.kg .yes::before { content: "\\2713\\00a0" } .kg .no::before { content: "\\2717\\00a0" }
.kg figure { background: #fff; color: #1a1a1a; overflow-x: auto; margin: 1rem 0; padding: .5rem }
.kg figure text { fill: #1a1a1a } .kg figcaption { font-size: .85rem; color: #444 }
.kg iframe { width: 100%; height: 75vh; border: 1px solid #8886; background: #fff }
.kg .share { white-space: nowrap; opacity: .85 } .kg h3 { margin-top: 1rem; font-weight: 600 }
.dark button[role="tab"][aria-selected="true"] { color: #93c5fd }
.gradio-container footer { display: none }
.gradio-container .kg-search label { white-space: normal; overflow-wrap: anywhere; unicode-bidi: isolate }
"""
    + DRAWING
)
LEGEND = (
    "Thick: the new fact. \u2713: the edited model answers it right, through the new fact where it lies behind it. "
    "\u2717, broken line: it does not. Ring: it answers otherwise than before. Dotted: what the new object replaces. "
    "The rest was not asked. Point at a fact for the question and the answers; the table above has them, too."
)


def block(parts: Iterable[str]) -> str:
    """Parts, one below the other, in the style of the workbench."""
    return f'<div class="kg">{printable("".join(parts))}</div>'


def problem(text: str) -> str:
    """An error, read out where a page is read out."""
    return block([f'<p class="no" role="alert">{escape(text)}</p>'])


def told(text: str) -> str:
    """A remark."""
    return block([f'<p role="status">{escape(text)}</p>'])


def plain_table(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of plain texts."""
    return table([escape(text) for text in heading], [[escape(text) for text in line] for line in lines])


def percent(share: float) -> str:
    """A share in percent."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def link(text: str) -> str:
    """An address of the web as a link that opens apart; anything else as text."""
    shown = escape(text)
    try:
        of_the_web = urlsplit(text).scheme in ("http", "https")
    except ValueError:
        of_the_web = False
    return f'<a href="{shown}" target="_blank" rel="noopener noreferrer">{shown}</a>' if of_the_web else shown


def framed(page: str, title: str) -> str:
    """A whole page of its own inside of this one; it can run and load nothing."""
    return f'<div class="kg"><iframe sandbox="" title="{escape(title)}" srcdoc="{escape(page)}"></iframe></div>'
