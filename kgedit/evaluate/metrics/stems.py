"""Which rows of token ids share their beginning: the plan that lets every shared token be computed once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

Ids = tuple[int, ...]
_Choice = tuple[int, tuple[int, ...]]  # tokens saved, stem of each row


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


def plan_stems(rows: Sequence[Ids], limits: Sequence[int]) -> tuple[list[int], int]:
    """For each row the length of its stem, so that computing equal stems once leaves the fewest tokens.

    Args:
        rows: Token ids.
        limits: For each row the most tokens that its stem may have.

    Returns:
        Stem lengths in the order of the rows, and how many tokens are saved. A row that shares nothing has its
        limit as stem.
    """
    keys = [row[:limit] for row, limit in zip(rows, limits, strict=True)]
    order = sorted(range(len(rows)), key=keys.__getitem__)
    common = [_common(keys[a], keys[b]) for a, b in zip(order, order[1:], strict=False)]

    # The rows are the leaves of a tree whose inner nodes are their common beginnings. Either the rows below a node
    # share its beginning (and pay for it once), or they go on with the one that a node above offers.
    @cache
    def best(start: int, stop: int, offered: int) -> _Choice:
        if stop - start == 1:
            return offered, (offered,)
        inner = common[start : stop - 1]
        depth = min(inner)
        cuts = [start, *(start + i + 1 for i, shared in enumerate(inner) if shared == depth), stop]
        parts = list(zip(cuts, cuts[1:], strict=False))
        passed_on = _joined([best(a, b, offered) for a, b in parts], 0)
        if depth <= offered:
            return passed_on
        return max(passed_on, _joined([best(a, b, depth) for a, b in parts], depth), key=lambda choice: choice[0])

    saved, lengths = best(0, len(rows), 0) if rows else (0, ())
    found = [0] * len(rows)
    for index, length in zip(order, lengths, strict=True):
        found[index] = length or len(keys[index])
    return found, saved


def _joined(parts: Sequence[_Choice], paid: int) -> _Choice:
    return sum(saved for saved, _ in parts) - paid, tuple(length for _, lengths in parts for length in lengths)


def _common(a: Ids, b: Ids) -> int:
    """Length of the common beginning of two rows."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
