"""Groups prompts for left-padded decoding, so that no prompt shortens the answer to another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Prompts per forward pass; and rows of a batch times their length, so that keys and values of long prompts
# (demonstrations) fit into the memory.
BATCH_SIZE, BATCH_TOKENS = 64, 8192
# A GPU takes as long for a few rows as for so many times as many.
_ON_GPU = 8


def batches(
    lengths: Sequence[int],
    needs: Sequence[int],
    context: int,
    batch_size: int | None = None,
    *,
    on_gpu: bool = False,
) -> Iterator[list[int]]:
    """Group prompts for left-padded decoding so that none is cut short by a longer neighbour.

    A batch is as wide as its longest prompt plus the most new tokens, and must fit into the context: so what a
    prompt gets to say never depends on the others.

    Args:
        lengths: Tokens of each prompt.
        needs: New tokens that each wants; its length and its need fit into the context.
        context: The most tokens that the model reads.
        batch_size: The most prompts per batch, fewer where they are long; by default what suits the device.
        on_gpu: Whether the device is a GPU.

    Yields:
        Indices of prompts, shortest first.
    """
    factor = _ON_GPU if on_gpu else 1
    batch_size, most_tokens = batch_size or BATCH_SIZE * factor, BATCH_TOKENS * factor
    batch: list[int] = []
    most = 0
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], needs[i])):
        most = max(most, needs[index])
        width = lengths[index] + most
        if batch and (len(batch) == batch_size or width > context or (len(batch) + 1) * width > most_tokens):
            yield batch
            batch, most = [], needs[index]
        batch.append(index)
    if batch:
        yield batch
