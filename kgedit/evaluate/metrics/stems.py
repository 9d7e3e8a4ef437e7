"""Which rows of token ids share their beginning: the plan that lets every shared token be computed once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

Ids = tuple[int, ...]


class Group(NamedTuple):
    """Rows that have their first tokens in common.

    Attributes:
        stem: How many tokens.
        members: Indices of the rows.
    """

    stem: int
    members: range


def carriers(inputs: Collection[Ids]) -> tuple[list[Ids], dict[Ids, int]]:
    """The rows that must be run so that every input is run, alone or as the beginning of a longer one.

    A causal model sees the same at a position whatever follows, so an input that begins another needs no row.

    Returns:
        Rows in ascending order, and for each input the index of the row that carries it.
    """
    rows: list[Ids] = []
    carried_by: list[tuple[Ids, int]] = []
    for ids in sorted(set(inputs), reverse=True):  # whatever begins with ids stands directly before it
        if not rows or rows[-1][: len(ids)] != ids:
            rows.append(ids)
        carried_by.append((ids, len(rows) - 1))
    return rows[::-1], {ids: len(rows) - 1 - index for ids, index in carried_by}


def plan(rows: Sequence[Ids], limits: Sequence[int]) -> list[Group]:
    """Split rows into groups with common stems so that the fewest tokens are computed.

    Args:
        rows: Token ids in ascending order.
        limits: For each row the most tokens that its stem may have; at least 0.

    Returns:
        Groups of neighbouring rows in order; a row alone has its limit as stem.
    """
    common = [_common(a, b) for a, b in zip(rows, rows[1:], strict=False)]
    return _best(range(len(rows)), common, limits)[1] if rows else []


def _best(span: range, common: Sequence[int], limits: Sequence[int]) -> tuple[int, list[Group]]:
    """Tokens saved by the best plan of a span of rows, and the plan."""
    stem = min(limits[i] for i in span)
    if len(span) == 1:
        return 0, [Group(stem, span)]
    inner = common[span.start : span.stop - 1]
    shallowest = min(inner)
    stem = min(stem, shallowest)
    together = (len(span) - 1) * stem
    # Every cut at the shallowest place makes the parts' common stems longer, so the depth is at most a row's length.
    cuts = [span.start, *(span.start + i + 1 for i, depth in enumerate(inner) if depth == shallowest), span.stop]
    parts = [_best(range(a, b), common, limits) for a, b in zip(cuts, cuts[1:], strict=False)]
    apart = sum(saved for saved, _ in parts)
    if together > apart:
        return together, [Group(stem, span)]
    return apart, [group for _, groups in parts for group in groups]


def _common(a: Ids, b: Ids) -> int:
    """Length of the common beginning of two rows."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
