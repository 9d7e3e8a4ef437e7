"""Composes the applied changes of a store into one delta on the unedited model, for formats that are one file."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.delta import LowRankDelta
from kgedit.delta.low_rank import as_low_rank
from kgedit.errors import JournalError
from kgedit.ingest.session import open_edited
from kgedit.lm.loading import Loading


def composed_of(
    directory: str | Path, **loading: Unpack[Loading]
) -> tuple[LowRankDelta, PreTrainedModel, PreTrainedTokenizerBase]:
    """The delta, and the store's model with the changes applied, and its tokenizer.

    Raises:
        JournalError: No change is applied, or the store is not as its journal says.
        FileCorrupt, WrongBase: See `kgedit.ingest.verify`.
    """
    with open_edited(directory, **loading) as (_, editor, weights):
        if not weights.deltas:
            raise JournalError(f"no change of the store {directory} is applied, so there is nothing to export")
        return as_low_rank(weights.joined(weights.deltas)), editor.model, editor.tokenizer
