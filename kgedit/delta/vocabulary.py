"""The vocabulary that an edit was computed with: other tokens mean other texts, and no weight of an MLP tells."""

from __future__ import annotations

import hashlib
import json

from transformers import PreTrainedTokenizerBase

from kgedit.delta.delta import Delta
from kgedit.edit import noted_parts
from kgedit.errors import WrongBase

VOCABULARY = "vocabulary"  # in the manifest of a delta


def vocabulary_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all tokens with their ids."""
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda pair: (pair[1], pair[0]))
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()


def check_vocabulary(delta: Delta, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a delta that was computed with another vocabulary; one that does not say so is not refused.

    Raises:
        WrongBase: It was; names both hashes.
    """
    noted = {str(part[VOCABULARY]) for part in noted_parts(delta.manifest) if VOCABULARY in part}
    if noted and (own := vocabulary_hash(tokenizer)) not in noted:
        raise WrongBase(
            f"this delta was computed with a vocabulary of hash {noted.pop()}, but the model's tokenizer has one of "
            f"hash {own}: the same text has other tokens. Load the model, with its tokenizer, that it was made for."
        )
