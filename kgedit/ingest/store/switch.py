"""Replaces the live deltas by others in one step: files first, then the weights in memory, then one transaction.

Killed before the transaction, the store is as it was, beside files that nothing names; behind it, as it is to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kgedit.delta import DeltaStack
from kgedit.ingest.store.store import IngestStore


@contextmanager
def switched(store: IngestStore, weights: DeltaStack, order: Sequence[str]) -> Iterator[None]:
    """Apply these deltas and note, in one transaction with what the block writes, the weights that they give.

    If that fails, weights and journal are as before.

    Args:
        store: The store, open for writing.
        weights: The model's weights.
        order: Ids of the deltas that are to be live, in order; each is applied already or saved in the store.

    Raises:
        FileCorrupt: One of them is damaged.
        SaveFailed: The journal cannot be written.
    """
    # 1. The weights in memory, from deltas that are loaded or on disk.
    before = weights.deltas
    loaded = {delta.id: delta for delta in before}
    weights.put([loaded[id] if id in loaded else store.delta(id) for id in order])
    # 2. The journal, in one transaction with the hash that it now vouches for.
    try:
        with store.journal.writing():
            yield
            store.journal.set_about({"weights_hash": weights.hash()})
    except BaseException:
        weights.put(before)
        raise
    # 3. Files that nothing names any more.
    store.remove_unnamed()
