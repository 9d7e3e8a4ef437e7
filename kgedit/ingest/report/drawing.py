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

_COLUMN, _LAST, _ROW, _MARGIN, _LONGEST = 330, 190, 25, 16, 24  # pixels; letters of a label that are shown
_LETTER = 6.6  # pixels, about, in the page's font


def draw(triples: Sequence[Labelled]) -> str:
    """The facts as one `<svg>`, the first of them (the new fact) thick; same facts, same bytes.

    Args:
        triples: Facts as text, nearest first; the first subject is the centre.
    """
    if not triples:
        return ""
    places = _places(triples)
    width = _MARGIN + _COLUMN * max(column for column, _ in places.values()) + _LAST
    height = 2 * _MARGIN + round(_ROW * max(row for _, row in places.values()))
    title = f"Facts around {triples[0][0]}, {triples[0][1]}, {triples[0][2]}: {len(triples)} in all"
    drawn: Counter[tuple[str, str]] = Counter()
    edges, words = [], []
    for number, fact in enumerate(triples):
        subject, _, end = fact
        edge, word = _edge(places[subject], places[end], fact, drawn[subject, end], new=number == 0)
        drawn[subject, end] += 1
        edges.append(edge)
        words.append(word)
    nodes = [_node(place, label) for label, place in places.items()]
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


def _node(place: Place, label: str) -> str:
    x, y = _pixels(place)
    return f'<circle cx="{x}" cy="{y}" r="4"/><text x="{x + 8}" y="{y + 4}" class="node">{_short(label)}</text>'


def _edge(start: Place, end: Place, fact: Labelled, before: int, *, new: bool) -> tuple[str, str]:
    """The line and its word; `before` is the number of lines drawn already between the same two."""
    subject, relation, _ = fact
    (x1, y1), (x2, y2) = _pixels(start), _pixels(end)
    kind = ' class="new"' if new else ""
    if end[0] > start[0]:
        # The word stands near the far end, where lines that fan out from one fact are apart.
        left = round(x1 + 14 + _LETTER * min(len(subject), _LONGEST))
        line = f"M{left} {y1}C{left + 40} {y1} {x2 - 150} {y2} {x2 - 100} {y2}H{x2 - 4}"
        return f'<path d="{line}"{kind}/>', _word(x2 - 8, y2 - 4 - 11 * before, relation, "end")
    line = f"M{x1} {y1}C{x1 - 60} {y1 - 20} {x2 - 60} {y2 + 20} {x2} {y2}"
    return f'<path d="{line}"{kind}/>', _word(max(min(x1, x2) - 50, 2), (y1 + y2) / 2 - 11 * before, relation, "start")


def _word(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="edge" text-anchor="{anchor}">{_short(text)}</text>'


def _pixels(place: Place) -> tuple[float, float]:
    return _MARGIN + _COLUMN * place[0], round(_MARGIN + _ROW * place[1], 1)


def _short(label: str) -> str:
    return escape(label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…")
