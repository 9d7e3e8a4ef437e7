"""Draws a small subgraph as inline SVG: the subject on the left, what follows from the new fact to its right.

Columns by distance from the subject read better than springs: every walk over the new fact goes from left to right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

import networkx as nx

Labelled = tuple[str, str, str]  # subject, relation, object, as text
Place = tuple[int, float]  # column and row

_COLUMN, _LAST, _ROW, _MARGIN, _LONGEST = 290, 200, 34, 24, 24  # pixels; letters of a label that are shown
_SIGNS = {True: "\u2713", False: "\u2717"}
_LETTER = 6.6  # pixels, about, in the page's font


STYLE = """
svg { font: 12px system-ui, sans-serif }
svg path { fill: none; stroke: #999 } svg path.new { stroke: #0072b2; stroke-width: 2.5 }
svg path.no { stroke: #a33c00; stroke-dasharray: 6 3 } svg path.old { stroke-dasharray: 2 3 }
svg text { paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round }
svg text.edge { fill: #555; font-style: italic; font-size: 11px } svg circle { fill: #222 }
svg .right { fill: #00674a } svg .wrong { fill: #a33c00 }
"""
"""CSS of the page that holds a drawing."""


def draw(triples: Sequence[Labelled], answered: Sequence[bool | None] = (), *, old: str = "") -> str:
    """The facts as one `<svg>`, the first of them (the new fact) thick; same facts, same bytes.

    Args:
        triples: Facts as text, nearest first; the first subject is the centre.
        answered: Of each fact whether the model answers it right; None where it was not asked.
        old: The object that the new one replaces.
    """
    if not triples:
        return ""
    (start, relation, _), *_ = triples
    verdicts = [*answered, *[None] * (len(triples) - len(answered))]
    drawings = [*zip(triples, verdicts, ["new", *[""] * (len(triples) - 1)], strict=True)]
    if old and old not in {label for subject, _, end in triples for label in (subject, end)}:
        drawings.append(((start, relation, old), None, "old"))
    places = _places([fact for fact, _, _ in drawings])
    width = _MARGIN + _COLUMN * max(column for column, _ in places.values()) + _LAST
    height = 2 * _MARGIN + round(_ROW * max(row for _, row in places.values()))
    title = f"Facts around {start}, {relation}, {triples[0][2]}: {len(triples)} in all"
    drawn: Counter[tuple[str, str]] = Counter()
    edges, words = [], []
    signs: dict[str, bool] = {}
    for fact, verdict, kind in drawings:
        subject, _, end = fact
        kinds = [kind, "" if verdict in (None, True) else "no"]
        edge, word = _edge(places[subject], places[end], fact, drawn[subject, end], " ".join(filter(None, kinds)))
        drawn[subject, end] += 1
        edges.append(edge)
        words.append(word)
        if verdict is not None:
            signs[end] = signs.get(end, True) and verdict
    nodes = [_node(place, label, signs.get(label)) for label, place in places.items()]
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{escape(title)}</title>{''.join([*edges, *words, *nodes])}</svg>"
    )


def _places(triples: Sequence[Labelled]) -> dict[str, Place]:
    """Label -> column and row; each column is centred on the tallest."""
    graph = nx.DiGraph((subject, end) for subject, _, end in triples)
    distance = nx.single_source_shortest_path_length(graph, triples[0][0])
    columns: dict[int, list[str]] = {}
    for label in graph.nodes:  # in order of discovery
        columns.setdefault(distance.get(label, 1), []).append(label)
    tallest = max(len(labels) for labels in columns.values())
    return {
        label: (column, row + (tallest - len(labels)) / 2)
        for column, labels in columns.items()
        for row, label in enumerate(labels)
    }


def _node(place: Place, label: str, right: bool | None) -> str:
    x, y = _pixels(place)
    sign = "" if right is None else f'<tspan class="{"right" if right else "wrong"}">{_SIGNS[right]} </tspan>'
    text = f'<text x="{x + 8}" y="{y + 4}" class="node">{sign}{_short(label)}</text>'
    return f'<circle cx="{x}" cy="{y}" r="4"/>{text}'


def _edge(start: Place, end: Place, fact: Labelled, before: int, kind: str) -> tuple[str, str]:
    """The line and its word; `before` is the number of lines drawn already between the same two."""
    subject, relation, _ = fact
    (x1, y1), (x2, y2) = _pixels(start), _pixels(end)
    named = f' class="{kind}"' if kind else ""
    if end[0] > start[0]:
        # The word stands near the far end, where lines that fan out from one fact are apart.
        left = round(x1 + 28 + _LETTER * min(len(subject), _LONGEST))
        line = f"M{left} {y1}C{left + 40} {y1} {x2 - 140} {y2} {x2 - 90} {y2}H{x2 - 4}"
        return f'<path d="{line}"{named}/>', _word(x2 - 8, y2 - 4 - 11 * before, relation, "end")
    # Back, or within a column: below the labels of both ends, the word on the deepest point of the line.
    sag = 22 + 11 * before
    line = f"M{x1} {y1}C{x1 - 60} {y1 + sag} {x2 + 60} {y2 + sag} {x2} {y2}"
    return f'<path d="{line}"{named}/>', _word((x1 + x2) / 2, (y1 + y2) / 2 + 0.75 * sag + 4, relation, "middle")


def _word(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="edge" text-anchor="{anchor}">{_short(text)}</text>'


def _pixels(place: Place) -> tuple[float, float]:
    return _MARGIN + _COLUMN * place[0], round(_MARGIN + _ROW * place[1], 1)


def _short(label: str) -> str:
    return escape(label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…")
