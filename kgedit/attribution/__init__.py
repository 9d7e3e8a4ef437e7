"""Training-data attribution: which of some texts made a model give an answer.

    from kgedit.attribution import Question, attribute
    (found,) = attribute(model, tokenizer, texts, [Question("Albert Einstein was born in", "Ulm")])
    found.best("ekfac", 10)  # numbers of the texts

The public names are loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgedit.io.lazy import lazy_names

if TYPE_CHECKING:
    from kgedit.attribution.attributed import Attributed
    from kgedit.attribution.attributing import attribute
    from kgedit.attribution.settings import AttributionSettings
    from kgedit.attribution.texts import Question
    from kgedit.attribution.trac_in import ModelCheckpoint

_HOME = {
    "Attributed": "kgedit.attribution.attributed",
    "AttributionSettings": "kgedit.attribution.settings",
    "Question": "kgedit.attribution.texts",
    "ModelCheckpoint": "kgedit.attribution.trac_in",
    "attribute": "kgedit.attribution.attributing",
}

__all__ = ["Attributed", "AttributionSettings", "ModelCheckpoint", "Question", "attribute"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
