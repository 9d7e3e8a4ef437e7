"""Draws a small subgraph as inline SVG: the subject on the left, what follows from the new fact to its right.

Columns by distance from the subject read better than springs: every walk over the new fact goes from left to right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from itertools import chain, repeat

import networkx as nx

Labelled = tuple[str, str, str]  # subject, relation, object, as text
Place = tuple[int, float]  # column and row

_ROW, _MARGIN, _LONGEST = 34, 24, 24  # pixels; letters of a label that are shown
_FAN, _GAP = 64, 12  # pixels in which lines that leave a column spread; between a dot, a label and a line
_LEAST = 660  # pixels of width that a drawing does not shrink below; it is scrolled instead
_SIGNS = {True: "\u2713", False: "\u2717"}
_LETTER = 7.4  # pixels, about, in the page's font


STYLE = """
svg { font: 12px system-ui, sans-serif; max-width: 100%; height: auto }
svg path { fill: none; stroke: #999 } svg path.new { stroke: #0072b2; stroke-width: 2.5 }
svg path.no { stroke: #a33c00; stroke-dasharray: 6 3 } svg path.old { stroke-dasharray: 2 3 }
svg text { paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round }
svg text.edge { fill: #555; font-style: italic; font-size: 11px } svg circle { fill: #222 }
svg circle.changed { fill: none; stroke: #0072b2; stroke-width: 2 } svg g.told { cursor: help }
svg .right { fill: #00674a } svg .wrong { fill: #a33c00 }
"""
"""CSS of the page that holds a drawing."""


class _Grid:
    """Where the columns and rows are, in pixels: no column's labels reach the lines behind it."""

    def __init__(self, triples: Sequence[Labelled]) -> None:
        self.places = _places(triples)
        last = max(column for column, _ in self.places.values())
        labels, words = [0.0] * (last + 1), [0.0] * (last + 1)
        for label, (column, _) in self.places.items():
            labels[column] = max(labels[column], _length(label) + 2 * _LETTER)  # with its sign
        for subject, relation, end in triples:
            column = self.places[end][0]
            if column > self.places[subject][0]:
                words[column] = max(words[column], _length(relation))
        self.x = [float(_MARGIN)]
        for column in range(last):
            self.x.append(round(self.x[-1] + 3 * _GAP + labels[column] + _FAN + words[column + 1]))
        self.fan = [round(x + 2 * _GAP + label) for x, label in zip(self.x, labels, strict=True)]
        self.width = round(self.x[-1] + 2 * _GAP + labels[-1] + _MARGIN)
        self.height = 2 * _MARGIN + round(_ROW * max(row for _, row in self.places.values()))

    def at(self, label: str) -> tuple[float, float]:
        """The dot of a label."""
        column, row = self.places[label]
        return self.x[column], round(_MARGIN + _ROW * row, 1)


def draw(
    triples: Sequence[Labelled],
    answered: Sequence[bool | None] = (),
    *,
    old: str = "",
    told: Sequence[str] = (),
    changed: Sequence[bool] = (),
) -> str:
    """The facts as one `<svg>`, the first of them (the new fact) thick; same facts, same bytes.

    Args:
        triples: Facts as text, nearest first; the first subject is the centre.
        answered: Of each fact whether the model answers it right; None where it was not asked.
        old: The object that the new one replaces.
        told: Of each fact what is shown to those who point at it; empty for nothing.
        changed: Of each fact whether the model answers otherwise than before.
    """
    if not triples:
        return ""
    (start, relation, _), *_ = triples
    verdicts = [*answered, *[None] * (len(triples) - len(answered))]
    drawings = [*zip(triples, verdicts, ["new", *[""] * (len(triples) - 1)], strict=True)]
    if old and old not in {label for subject, _, end in triples for label in (subject, end)}:
        drawings.append(((start, relation, old), None, "old"))
    grid = _Grid([fact for fact, _, _ in drawings])
    title = f"Facts around {start}, {relation}, {triples[0][2]}: {len(triples)} in all"
    drawn: Counter[tuple[str, str]] = Counter()
    lines, words = [], []
    signs: dict[str, bool] = {}
    hints: dict[str, list[str]] = {}
    for (fact, verdict, kind), hint in zip(drawings, chain(told, repeat("")), strict=False):
        subject, _, end = fact
        kinds = [kind, "" if verdict in (None, True) else "no"]
        line, word = _edge(grid, fact, drawn[subject, end], " ".join(filter(None, kinds)))
        drawn[subject, end] += 1
        lines.append(_hinted(line, hint))
        words.append(_hinted(word, hint))
        if hint:
            hints.setdefault(end, []).append(hint)
        if verdict is not None:
            signs[end] = signs.get(end, True) and verdict
    ringed = {end for (_, _, end), other in zip(triples, changed, strict=False) if other}
    nodes = [
        _hinted(_node(grid.at(label), label, signs.get(label), label in ringed), "\n\n".join(hints.get(label, [])))
        for label in grid.places
    ]
    return (
        f'<svg viewBox="0 0 {grid.width} {grid.height}" width="{grid.width}" height="{grid.height}" role="img" '
        f'style="min-width: {min(grid.width, _LEAST)}px">'
        f"<title>{escape(title)}</title>{''.join([*lines, *words, *nodes])}</svg>"
    )


def hint(question: str, said: Mapping[str, str | None]) -> str:
    """What those see who point at a fact of a drawing.

    Args:
        question: The sentence asked, up to the answer.
        said: Model in words, such as "before" -> its answer; None for one that cannot be asked.
    """
    answered = (f"{model}: {'cannot be asked' if text is None else text}" for model, text in said.items())
    return "\n".join([f"{question} \u2026", *answered])


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


def _hinted(drawn: str, hint: str) -> str:
    return f'<g class="told"><title>{escape(hint)}</title>{drawn}</g>' if hint else drawn


def _node(dot: tuple[float, float], label: str, right: bool | None, changed: bool) -> str:
    x, y = dot
    sign = "" if right is None else f'<tspan class="{"right" if right else "wrong"}">{_SIGNS[right]} </tspan>'
    ring = f'<circle cx="{x:g}" cy="{y:g}" r="7" class="changed"/>' if changed else ""
    text = f'<text x="{x + _GAP:g}" y="{y + 4:g}" class="node">{sign}{_short(label)}</text>'
    return f'<circle cx="{x:g}" cy="{y:g}" r="4"/>{ring}{text}'


def _edge(grid: _Grid, fact: Labelled, before: int, kind: str) -> tuple[str, str]:
    """The line and its word; `before` is the number of lines drawn already between the same two."""
    subject, relation, end = fact
    (x1, y1), (x2, y2) = grid.at(subject), grid.at(end)
    named = f' class="{kind}"' if kind else ""
    column = grid.places[subject][0]
    if grid.places[end][0] > column:
        # Level beside the label, then in a bend to the row of the other end, where the word stands on the level line.
        left, fan = x1 + 2.5 * _GAP + _length(subject), grid.fan[column]
        middle = fan + _FAN / 2
        line = f"M{left:g} {y1:g}H{fan:g}C{middle:g} {y1:g} {middle:g} {y2:g} {fan + _FAN:g} {y2:g}H{x2 - 4:g}"
        return f'<path d="{line}"{named}/>', _word(x2 - _GAP, y2 - 4 - 11 * before, relation, "end")
    # Back, or within a column: below the labels of both ends, the word on the deepest point of the line.
    sag = 22 + 11 * before
    line = f"M{x1:g} {y1:g}C{x1 - 60:g} {y1 + sag:g} {x2 + 60:g} {y2 + sag:g} {x2:g} {y2:g}"
    return f'<path d="{line}"{named}/>', _word((x1 + x2) / 2, (y1 + y2) / 2 + 0.75 * sag + 4, relation, "middle")


def _word(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="edge" text-anchor="{anchor}">{_short(text)}</text>'


def _length(label: str) -> float:
    """Pixels, about, of what is shown of a label."""
    return _LETTER * min(len(label), _LONGEST)


def _short(label: str) -> str:
    return escape(label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…")
