"""The average indirect effect over prompts, by the kind of place that a token stands in (ROME, figure 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kgedit.lm.tracing.trace import Kind, Trace

PLACES = (
    "first subject token",
    "middle subject tokens",
    "last subject token",
    "first token behind",
    "further tokens",
    "last token",
)


def place_of(token: int, trace: Trace) -> str | None:
    """The kind of place that a token stands in, as in the published figure; None before the subject."""
    first, last = trace.subject
    if token < first:
        return None
    if token == last:
        return PLACES[2]
    if token < last:
        return PLACES[0] if token == first else PLACES[1]
    if token == len(trace.tokens) - 1:
        return PLACES[5]
    return PLACES[3] if token == last + 1 else PLACES[4]


def mean_effects(traces: Sequence[Trace], kind: Kind) -> Mapping[str, tuple[float, ...]]:
    """Place -> layer -> average indirect effect: mean over the tokens of a place in one prompt, then over prompts."""
    by_place: dict[str, list[list[float]]] = {}
    for traced in traces:
        of_prompt: dict[str, list[tuple[float, ...]]] = {}
        for token, values in enumerate(traced.effects[kind]):
            place = place_of(token, traced)
            if place is not None:
                of_prompt.setdefault(place, []).append(values)
        for place, rows in of_prompt.items():
            by_place.setdefault(place, []).append(_mean(rows))
    return {place: tuple(_mean(by_place[place])) for place in PLACES if place in by_place}


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]
