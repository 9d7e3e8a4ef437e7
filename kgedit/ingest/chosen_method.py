"""Which method makes the changes of a store where none is named, and which one patches."""

from __future__ import annotations

from kgedit.ingest.decide.writer import WriteSettings
from kgedit.ingest.store.journal import Journal
from kgedit.methods.registry import load_method, method_names
from kgedit.presets import table

BATCH = 16  # changes decided together


def ingesting_method(model: str) -> str:
    """The method of the model's preset, by which a feed is ingested."""
    return _preset(model).method


def patching_method(model: str, journal: Journal | None = None) -> str:
    """The method of the last run whose changes have a delta each; else the one of the model's preset that patches."""
    used = [run.result.method for run in journal.runs() if run.result] if journal else []
    names = [name for name in used if name in method_names() and not load_method(name).shares_change]
    return names[-1] if names else _preset(model).patches


def _preset(model: str) -> WriteSettings:
    return WriteSettings.model_validate(table(model, "ingest"))
