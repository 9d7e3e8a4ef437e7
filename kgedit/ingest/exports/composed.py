"""All changes in force of a store as one delta on the unedited model, for formats that live in one file."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from kgedit.delta import LowRankDelta, compose
from kgedit.errors import JournalError
from kgedit.ingest.maintenance import loaded
from kgedit.ingest.store.commit import put_noted
from kgedit.ingest.store.store import open_store


def composed_of(directory: Path) -> tuple[LowRankDelta, PreTrainedModel]:
    """The delta, and the store's model with the changes in force.

    Raises:
        JournalError: Nothing is in force, or the store is not as its journal says.
        FileCorrupt, WrongBase: See `maintenance.verify`.
    """
    with open_store(directory) as store:
        editor, weights = loaded(store)
        put_noted(store, weights)
        if not weights.deltas:
            raise JournalError(f"no change of the store {directory} is in force, so there is nothing to hand over")
        return weights.on_base(compose(*weights.deltas, base_hash="")), editor.model
