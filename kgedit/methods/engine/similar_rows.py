"""Which rows share a padded batch: rows of similar length; one batch more only where it saves enough padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby


def similar_rows(lengths: Sequence[int], *, most_rows: int, most_tokens: int, overhead: int) -> list[list[int]]:
    """Cut rows into batches; every row is in one.

    Rows are taken by length, shortest first. Longer ones join the last batch as long as that pads it by no more tokens
    than a batch of its own would cost.

    Args:
        lengths: Tokens of each row.
        most_rows: So many rows a batch may have whatever their length.
        most_tokens: More rows it may have up to so many tokens, padding included.
        overhead: What a batch costs beside its rows, in tokens.

    Returns:
        Numbers of rows, by length.
    """
    parts: list[list[int]] = []
    width = 0  # of the last part
    for length, group in groupby(sorted(range(len(lengths)), key=lengths.__getitem__), key=lengths.__getitem__):
        if parts and len(parts[-1]) * (length - width) <= overhead:
            parts[-1] += group
        else:
            parts.append(list(group))
        width = length
    # A part that is too large is cut into equal ones.
    cut = []
    for part in parts:
        size = max(most_rows, most_tokens // lengths[part[-1]])
        count = -(-len(part) // size)
        cut += [part[len(part) * k // count : len(part) * (k + 1) // count] for k in range(count)]
    return cut
